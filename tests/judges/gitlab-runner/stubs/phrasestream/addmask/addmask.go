// Package addmask hides nothing: only the command proxy-exec uses it, and that is not built in.
package addmask

import (
	"errors"
	"io"
)

type AddMask struct{}

func New(any, ...io.Writer) (*AddMask, error) { return nil, errors.New("proxy-exec is not built in") }
func (*AddMask) Get(int) io.Writer            { return io.Discard }
func (*AddMask) Close() error                 { return nil }

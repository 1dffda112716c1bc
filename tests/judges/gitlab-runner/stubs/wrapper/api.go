// Package api has the form of the wrapper, a command that is not built in.
package api

import "errors"

type Status int

const (
	StatusUnknown Status = iota
	StatusRunning
	StatusInShutdown
	StatusStopped
)

var ErrProcessNotInitialized = errors.New("not started")

type (
	ShutdownCallback    interface{ Run(any) }
	ShutdownCallbackDef interface {
		URL() string
		Method() string
	}
	InitGracefulShutdownRequest interface{ ShutdownCallbackDef() ShutdownCallbackDef }
)

func NewShutdownCallback(any, ShutdownCallbackDef) ShutdownCallback { return nil }

func (Status) String() string { return "not built in" }

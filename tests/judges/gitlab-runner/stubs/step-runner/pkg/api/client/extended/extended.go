// Package extended reaches no step runner.
package extended

import (
	"context"
	"errors"
	"io"

	"gitlab.com/gitlab-org/step-runner/pkg/api/client"
	"google.golang.org/grpc"
)

type (
	Dialer interface {
		Dial() (*grpc.ClientConn, error)
	}
	Client       struct{}
	FollowOutput struct{ Logs io.Writer }
)

var errStub = errors.New("steps are not built in")

func New(Dialer) (*Client, error)                    { return nil, errStub }
func (*Client) CloseConn() error                     { return nil }
func (*Client) Cancel(context.Context, string) error { return errStub }

func (*Client) RunAndFollow(context.Context, *client.RunRequest, *FollowOutput) (client.Status, error) {
	return client.Status{}, errStub
}

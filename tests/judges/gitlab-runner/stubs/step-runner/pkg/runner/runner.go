// Package runner has the form of functions that steps call.
package runner

import (
	"context"
	"io"
	"time"

	"gitlab.com/gitlab-org/step-runner/proto"
	"google.golang.org/protobuf/types/known/structpb"
)

const (
	KindString = "string"
	KindList   = "list"
	KindBool   = "bool"
)

type (
	BuiltinResult   struct{}
	BuiltinFunction interface {
		Spec() *proto.Spec
		Run(context.Context, BuiltinContext) (BuiltinResult, error)
	}
	BuiltinContext interface {
		GetInput(string, string) (*structpb.Value, error)
		GetInputWithDefault(string, string, map[string]*proto.Spec_Content_Input) (*structpb.Value, error)
		GetEnvs() map[string]string
		GetEnvList() []string
		GetJobVars() map[string]*structpb.Value
		ListenCancel(context.Context) (context.Context, context.CancelFunc)
		Pipe() (io.Writer, io.Writer)
		GracefulExitDelay() time.Duration
		WorkDir() string
	}
)

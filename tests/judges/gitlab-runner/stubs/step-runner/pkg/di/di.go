// Package di makes no step runner.
package di

import (
	"errors"
	"log/slog"

	"gitlab.com/gitlab-org/step-runner/pkg/runner"
)

type Container struct{}

func WithBuiltinFunc(string, runner.BuiltinFunction) func(*Container) { return nil }
func WithOperatorLogger(*slog.Logger) func(*Container)                { return nil }
func NewContainer(...func(*Container)) *Container                     { return nil }
func (*Container) StepRunnerService() (any, error) {
	return nil, errors.New("steps are not built in")
}

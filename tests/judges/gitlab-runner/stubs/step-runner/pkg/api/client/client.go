// Package client has what is said to the step runner.
package client

import "time"

type (
	State     int
	ErrorKind int
	Status    struct {
		State     State
		ErrorKind ErrorKind
		Message   string
	}
	Variable struct {
		Key, Value   string
		File, Masked bool
	}
	RunRequest struct {
		Id, WorkDir, BuildDir, Steps string
		Timeout                      *time.Duration
		Env                          map[string]string
		Variables                    []Variable
	}
)

const (
	StateUnspecified State = iota
	StateSuccess
	StateCancelled
)

const (
	ErrorUnknown ErrorKind = iota
	ErrorInternal
	ErrorStepFailure
	ErrorCancelled
	ErrorTimeout
)

func (State) String() string { return "not built in" }

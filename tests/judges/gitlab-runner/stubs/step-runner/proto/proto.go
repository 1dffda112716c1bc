// Package proto has the form of what a step takes.
package proto

import (
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"
)

type ValueType int

const (
	ValueType_string ValueType = iota
	ValueType_array
	ValueType_boolean
)

type (
	Spec         struct{ Spec *Spec_Content }
	Spec_Content struct {
		Inputs map[string]*Spec_Content_Input
	}
	Spec_Content_Input struct {
		Type      ValueType
		Default   *structpb.Value
		Sensitive bool
	}
)

func (s *Spec) GetSpec() *Spec_Content                            { return s.Spec }
func (s *Spec_Content) GetInputs() map[string]*Spec_Content_Input { return s.Inputs }
func RegisterStepRunnerServer(*grpc.Server, any)                  {}

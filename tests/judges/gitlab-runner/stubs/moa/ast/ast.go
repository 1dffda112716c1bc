// Package ast has the form of a template.
package ast

type Visitor interface {
	Enter(Expr) (Visitor, error)
	Exit(Expr) (Expr, error)
}

type Expr interface{ Walk(Visitor) (Expr, error) }

type Template struct{}

func (t *Template) Walk(Visitor) (Expr, error) { return t, nil }

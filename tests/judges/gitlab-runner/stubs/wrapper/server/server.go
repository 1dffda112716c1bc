// Package server serves nothing.
package server

import "net"

type Server struct{}

func New(any, any) *Server          { return &Server{} }
func (*Server) Listen(net.Listener) {}
func (*Server) Stop()               {}

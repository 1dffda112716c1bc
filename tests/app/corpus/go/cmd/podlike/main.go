package main

import (
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) })
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) })
	if err := http.ListenAndServe("127.0.0.1:"+os.Getenv("HTTP_PORT"), nil); err != nil {
		panic(err)
	}
}

import os
from wsgiref.simple_server import make_server

SECRET = os.environ["SECRET_KEY"]


def application(environ, start_response):
    known = environ["PATH_INFO"] in ("/", "/up")
    start_response("200 OK" if known else "404 Not Found", [("Content-Type", "text/plain")])
    return [b"hello\n"]


if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ["PORT"]), application).serve_forever()

import os
import sqlite3
from wsgiref.simple_server import make_server

DATABASE = sqlite3.connect(os.environ["APP_DATA"] + "/queue.db")
DATABASE.execute("select * from jobs")


def application(environ, start_response):
    start_response("200 OK" if environ["PATH_INFO"] == "/up" else "404 Not Found", [("Content-Type", "text/plain")])
    return [b"hello\n"]


if __name__ == "__main__":
    make_server("127.0.0.1", int(os.environ["PORT"]), application).serve_forever()

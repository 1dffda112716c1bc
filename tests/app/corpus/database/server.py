"""Answers 200 once its table is there, and its Redis answers."""
import os
import socket
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer


def ping():
    with socket.socket(socket.AF_UNIX) as redis:
        redis.connect(os.environ["REDIS_URL"].removeprefix("unix://"))
        redis.sendall(b"PING\r\n")
        return redis.recv(7) == b"+PONG\r\n"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ask = ["psql", os.environ["DATABASE_URL"], "-qtAc", "select count(*) from visits"]
        said = subprocess.run(ask, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.send_response(200 if self.path == "/up" and said == "0" and ping() else 503)
        self.end_headers()


HTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Handler).serve_forever()

"""Answers 200 once its table is there."""
import os
import subprocess
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        ask = ["psql", os.environ["DATABASE_URL"], "-qtAc", "select count(*) from visits"]
        said = subprocess.run(ask, stdout=subprocess.PIPE, text=True).stdout.strip()
        self.send_response(200 if self.path == "/up" and said == "0" else 503)
        self.end_headers()


HTTPServer((os.environ["ADDRESS"], int(os.environ["PORT"])), Handler).serve_forever()

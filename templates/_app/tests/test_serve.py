"""The real program, on a free port, asked over HTTP."""

import os
import re
import subprocess
import unittest
import urllib.error
import urllib.request
from pathlib import Path

SERVE = Path(__file__).resolve().parent.parent / "bin" / "serve"


class Serve(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        environment = {**os.environ, "ADDRESS": "127.0.0.1", "PORT": "0"}
        cls.process = subprocess.Popen([SERVE], env=environment, stdout=subprocess.PIPE, text=True)
        cls.url = re.search(r"http://[0-9.:]+", cls.process.stdout.readline()).group()

    @classmethod
    def tearDownClass(cls):
        cls.process.terminate()
        cls.process.stdout.close()
        assert cls.process.wait(timeout=10) == 0

    def get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def test_it_is_healthy(self):
        self.assertEqual(self.get("/healthz")[0], 200)

    def test_the_first_page_names_the_application(self):
        status, body = self.get("/")
        self.assertEqual(status, 200)
        self.assertIn("{{ app.name }}", body)

    def test_what_is_not_there_is_not_found(self):
        for path in ["/nothing-here", "/../AGENTS.md", "/%2e%2e/AGENTS.md"]:
            self.assertEqual(self.get(path)[0], 404, path)


if __name__ == "__main__":
    unittest.main()

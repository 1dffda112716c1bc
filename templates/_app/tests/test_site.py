"""The pages, as files: each link to a file of the site leads to one."""

import re
import unittest
from pathlib import Path

PUBLIC = Path(__file__).resolve().parent.parent / "public"


class Site(unittest.TestCase):
    def test_there_is_a_first_page(self):
        self.assertTrue((PUBLIC / "index.html").is_file())

    def test_links_lead_to_files(self):
        for page in PUBLIC.rglob("*.html"):
            for link in re.findall(r'(?:href|src)="([^":?#]+)["?#]', page.read_text()):
                target = PUBLIC / link[1:] if link.startswith("/") else page.parent / link
                there = target / "index.html" if target.is_dir() else target
                self.assertTrue(there.is_file(), f"{page.name}: {link}")


if __name__ == "__main__":
    unittest.main()

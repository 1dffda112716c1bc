import unittest


class Works(unittest.TestCase):
    def test_it(self):
        import app

        self.assertTrue(app.app)

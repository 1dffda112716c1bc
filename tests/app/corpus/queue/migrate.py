import os
import sqlite3

sqlite3.connect(os.environ["APP_DATA"] + "/queue.db").execute("create table jobs (name text)")

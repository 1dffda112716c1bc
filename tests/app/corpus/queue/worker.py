import os
import sqlite3
import sys
import time

while True:
    sqlite3.connect(os.environ["APP_DATA"] + "/queue.db").execute("select * from jobs")
    with open("/proc/net/dev") as file:
        if any(not line.strip().startswith("lo:") for line in file.readlines()[2:]):
            sys.exit("there is a network")
    time.sleep(0.1)

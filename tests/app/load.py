"""An open loop of requests, 100 a second, until a file appears. usage: load.py PORT STOP [PATH]

Makes STOP.not-yet when it begins. Of 20 requests one takes a second and four are POST, unless there is a path; each has its own connection. Prints a line of JSON: how many were sent, what failed,
the longest that one waited in seconds, which is its time without the second that it takes itself, how many each version answered, the seconds from the first failure that was seen to the last request that failed, and how many were sent meanwhile and did not fail.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter

PORT, STOP, PATH = int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
failed, versions, waited, answered, lost = [], Counter(), 0.0, [], []


async def ask(number):
    global waited
    begun = time.monotonic()
    method = "POST" if number % 5 == 1 and not PATH else "GET"
    path = PATH or ("/slow" if number % 20 == 0 else "/")
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
        writer.close()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ValueError(head.partition(b"\r\n")[0].decode() or "no answer")
        # What is around it tells where a chunk ends.
        versions[json.loads(body[body.find(b"{") : body.rfind(b"}") + 1])["version"]] += 1
        answered.append(begun)
    except Exception as error:
        lost.append((begun, time.monotonic()))
        failed.append(f"{method} {path} at {begun - START:.2f} s: {error!r}")
    waited = max(waited, time.monotonic() - begun - (path == "/slow"))


async def main():
    global START
    START, number, tasks = time.monotonic(), 0, []
    open(STOP + ".not-yet", "w").close()
    while not os.path.exists(STOP):
        tasks.append(asyncio.create_task(ask(number)))
        number += 1
        await asyncio.sleep(max(0, START + number / 100 - time.monotonic()))
    await asyncio.gather(*tasks)
    # A busy application answers some that came after one that is open when the power goes: what counts is when that one is lost.
    since, until = (min(seen for _, seen in lost), max(begun for begun, _ in lost)) if lost else (0.0, 0.0)
    between = sum(since < begun < until for begun in answered)
    print(json.dumps({
        "sent": number, "failed": failed, "waited": round(waited, 2), "versions": versions, "dark": until - since, "between": between
    }))


asyncio.run(main())

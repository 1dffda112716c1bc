"""An open loop of requests, 100 a second, until a file appears. usage: load.py PORT STOP [PATH]

Makes STOP.not-yet when it begins. Of 20 requests one takes a second and four are POST, unless there is a path; each has its own connection. Prints a line of JSON: how many were sent, what failed,
the slowest in seconds, how many each version answered, the seconds from the first that failed to the last, and how many did not fail in between.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter

PORT, STOP, PATH = int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None
failed, versions, slowest, outcomes = [], Counter(), 0.0, {}


async def ask(number):
    global slowest
    begun = time.monotonic()
    method = "POST" if number % 5 == 1 and not PATH else "GET"
    path = PATH or "/slow" if PATH or number % 20 == 0 else "/"
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".encode())
        head, _, body = (await asyncio.wait_for(reader.read(), 30)).partition(b"\r\n\r\n")
        writer.close()
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ValueError(head.partition(b"\r\n")[0].decode() or "no answer")
        # What is around it tells where a chunk ends.
        versions[json.loads(body[body.find(b"{") : body.rfind(b"}") + 1])["version"]] += 1
        outcomes[begun] = True
    except Exception as error:
        outcomes[begun] = False
        failed.append(f"{method} {path} at {begun - START:.2f} s: {error!r}")
    slowest = max(slowest, time.monotonic() - begun)


async def main():
    global START
    START, number, tasks = time.monotonic(), 0, []
    open(STOP + ".not-yet", "w").close()
    while not os.path.exists(STOP):
        tasks.append(asyncio.create_task(ask(number)))
        number += 1
        await asyncio.sleep(max(0, START + number / 100 - time.monotonic()))
    await asyncio.gather(*tasks)
    lost = [begun for begun in outcomes if not outcomes[begun]] or [0.0]
    between = sum(1 for begun in outcomes if outcomes[begun] and min(lost) < begun < max(lost))
    print(json.dumps({
        "sent": number, "failed": failed, "slowest": round(slowest, 2), "versions": versions, "dark": max(lost) - min(lost), "between": between
    }))


asyncio.run(main())

require("node:http").createServer((_, response) => response.end("hi")).listen(18173, "127.0.0.1");

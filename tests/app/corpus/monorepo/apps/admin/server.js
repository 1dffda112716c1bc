require("http").createServer((request, response) => response.end("admin")).listen(process.env.PORT, process.env.HOST);

const http = require("node:http");
const port = process.env.PORT || 3000;
http
  .createServer((request, response) => {
    if (request.url === "/") response.writeHead(302, { location: "/items" });
    else response.writeHead(request.url === "/items" ? 200 : 404);
    response.end();
  })
  .listen(port, "127.0.0.1");

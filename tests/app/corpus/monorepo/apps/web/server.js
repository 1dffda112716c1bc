const fs = require("fs");
const { greeting } = require("@acme/words");
// It is started in its own folder.
const page = fs.readFileSync("page.html", "utf8").replace("GREETING", greeting);
require("http")
  .createServer((request, response) => {
    response.writeHead(["/", "/healthz"].includes(request.url) ? 200 : 404);
    response.end(page);
  })
  .listen(process.env.PORT, process.env.HOST);

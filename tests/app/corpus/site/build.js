const fs = require("node:fs");
fs.mkdirSync("dist");
fs.writeFileSync("dist/index.html", "<h1>Site</h1>\n");

const fs = require("fs");
fs.mkdirSync("lib", { recursive: true });
fs.writeFileSync("lib/index.js", `module.exports = ${JSON.stringify({ greeting: "hello" })};\n`);

//! Node.js: programs by their `start`, and sites by the folder that their build leaves.

use std::collections::BTreeSet;

use serde_json::Value;

use super::platform::json;
use super::procfile;
use super::source::{Said, Source, is_plain};
use super::{Facts, Refusal, Wishes};
use crate::app::AppKind;

const FILE: &str = "package.json";
/// Lock file, and how what it names is installed.
const LOCKS: [(&str, &str); 4] = [
    ("package-lock.json", "npm ci --no-audit --no-fund"),
    ("npm-shrinkwrap.json", "npm ci --no-audit --no-fund"),
    ("yarn.lock", "yarn install --frozen-lockfile"),
    ("pnpm-lock.yaml", "pnpm install --frozen-lockfile"),
];
/// Words of commands for a developer, which must not serve.
const FOR_DEVELOPERS: [&str; 12] = [
    " dev",
    "nodemon",
    "--watch",
    "ts-node-dev",
    "tsx watch",
    "webpack serve",
    "webpack-dev-server",
    "react-scripts start",
    "vite preview",
    "ng serve",
    "live-server",
    "http-server",
];

struct Package<'a> {
    source: &'a Source,
    json: Value,
}

impl Package<'_> {
    fn script(&self, name: &str) -> Option<Said> {
        let command = self.json.get("scripts")?.get(name)?.as_str()?.trim();
        (!command.is_empty()).then(|| Said::new(command, self.place(name)))
    }

    fn place(&self, key: &str) -> String {
        self.source.place(FILE, &format!("\"{key}\""))
    }

    fn needs(&self, name: &str) -> bool {
        ["dependencies", "devDependencies"]
            .iter()
            .any(|key| self.json.get(key).is_some_and(|all| all.get(name).is_some()))
    }

    fn has_any(&self, key: &str) -> bool {
        self.json.get(key).and_then(Value::as_object).is_some_and(|all| !all.is_empty())
    }

    fn manager(&self) -> Option<&str> {
        self.json.get("packageManager")?.as_str()?.split('@').next()
    }
}

pub(super) fn read(source: &Source, wishes: &Wishes, kind: Option<AppKind>, facts: &mut Facts) -> Result<(), Refusal> {
    let json = json(source, FILE)
        .ok_or_else(|| Refusal::new(format!("{FILE} is missing or not valid JSON"), "fix it and commit"))?;
    let package = Package { source, json };
    facts.image = format!("docker.io/library/node:{}", version(&package).unwrap_or_else(|| "22".into()));
    let install = install(&package, facts)?;
    let built = package.script("build").map(|said| Said::new("npm run build", said.origin));
    facts.test.extend(test(&package, install.as_ref()));
    let site = site(&package, facts.output.take());
    let start = match &wishes.run {
        Some(run) => Some(Said::new(run, "--run")),
        None => facts.start.take().or_else(|| start(&package)).or_else(|| Some(procfile::web(source)?.0)),
    };
    let is_static = match (kind, &wishes.run) {
        (Some(kind), _) => kind == AppKind::Static,
        (None, Some(_)) => false,
        // `next build` with an export leaves nothing to start.
        (None, None) => site.as_ref().is_some_and(|(_, sure)| *sure) || (site.is_some() && start.is_none()),
    };
    let by_flags = !facts.build.is_empty();
    if !by_flags {
        facts.build.extend(install);
        facts.build.extend(needed(&package));
        facts.build.extend(built);
    }
    if is_static {
        facts.is_static = true;
        let Some((folder, _)) = site else {
            return Err(Refusal::new(
                format!("{FILE}: no configuration says which directory the build writes"),
                "name it: --output DIR",
            ));
        };
        facts.output = Some(folder);
        return Ok(());
    }
    if !by_flags && package.has_any("devDependencies") {
        let prune = match package.manager().or_else(|| lock_of(source)) {
            // pnpm prunes no workspace.
            Some("pnpm") if source.others("pnpm-workspace.yaml").next().is_some() => {
                "pnpm install --prod --frozen-lockfile --ignore-scripts --config.confirmModulesPurge=false"
            }
            Some("pnpm") => "pnpm prune --prod",
            Some("yarn") => "yarn install --frozen-lockfile --production --ignore-scripts --prefer-offline",
            _ => "npm prune --omit=dev --no-audit --no-fund",
        };
        facts.build.push(Said::new(prune, package.place("devDependencies")));
    }
    let Some(start) = start else {
        let why = match package.script("start") {
            Some(said) => format!("{}: start runs a development server: {}", said.origin, said.value),
            None => format!("{FILE} has no script start, and its main is missing or not a file"),
        };
        return Err(Refusal::new(
            why,
            "set the command that serves: --run 'node FILE.js'; or for a site: --kind static --output DIR",
        ));
    };
    facts.start = Some(start);
    Ok(())
}

fn lock_of(source: &Source) -> Option<&'static str> {
    LOCKS.iter().find(|(file, _)| source.has(file)).and_then(|(_, command)| command.split(' ').next())
}

fn install(package: &Package<'_>, facts: &mut Facts) -> Result<Option<Said>, Refusal> {
    let manager = package.manager();
    let found: Vec<_> = LOCKS.iter().filter(|(file, _)| package.source.has(file)).collect();
    let named: Vec<_> =
        found.iter().filter(|(_, command)| manager.is_some_and(|name| command.starts_with(name))).collect();
    match (&named[..], &found[..]) {
        ([(file, command), ..], _) if found.len() > 1 => {
            Ok(Some(Said::new(*command, format!("{file} and {}", package.place("packageManager")))))
        }
        (_, [(file, command)]) => Ok(Some(Said::new(*command, *file))),
        (_, []) if !package.has_any("dependencies") && !package.has_any("devDependencies") => Ok(None),
        (_, []) => {
            facts
                .notes
                .push("no lock file is there, so the same commit can be built with newer packages: commit one".into());
            Ok(Some(Said::new("npm install --no-audit --no-fund", format!("{FILE}, without a lock file"))))
        }
        _ if !facts.build.is_empty() => Ok(None),
        (_, several) => {
            let files: Vec<&str> = several.iter().map(|(file, _)| *file).collect();
            Err(Refusal::new(
                format!("the repo has several lock files: {}", files.join(" and ")),
                format!(
                    "delete the stale one; or name its package manager in {FILE}, \"packageManager\"; or use --build '{}'",
                    several[0].1
                ),
            ))
        }
    }
}

/// The builds of packages of the same workspace that this one needs, each before those that need it.
fn needed(package: &Package<'_>) -> Vec<Said> {
    let others: Vec<(&str, Value)> =
        package.source.others(FILE).filter_map(|(path, text)| Some((path, serde_json::from_str(text).ok()?))).collect();
    let (mut steps, mut seen) = (Vec::new(), BTreeSet::new());
    visit(&package.json, &others, &mut seen, &mut steps);
    steps
}

fn visit<'a>(json: &Value, others: &'a [(&'a str, Value)], seen: &mut BTreeSet<&'a str>, steps: &mut Vec<Said>) {
    let keys = ["dependencies", "devDependencies"].into_iter().filter_map(|key| json.get(key)?.as_object());
    for name in keys.flat_map(serde_json::Map::keys) {
        let is_named = |(_, other): &&(&str, Value)| other.get("name").and_then(Value::as_str) == Some(name);
        let Some((path, other)) = others.iter().find(is_named) else { continue };
        if !seen.insert(*path) {
            continue;
        }
        visit(other, others, seen, steps);
        if other.get("scripts").and_then(|scripts| scripts.get("build")).is_some() {
            let folder = crate::shell::word(path.strip_suffix("/package.json").unwrap_or_default());
            steps.push(Said::new(format!("cd {folder} && npm run build"), format!("{path}, which it needs")));
        }
    }
}

/// The folder of a site, and whether nothing of it can be started.
fn site(package: &Package<'_>, named: Option<Said>) -> Option<(Said, bool)> {
    let source = package.source;
    let config = |stem: &str| {
        ["js", "mjs", "cjs", "ts", "mts"].iter().map(|end| format!("{stem}.config.{end}")).find(|path| source.has(path))
    };
    if let Some(said) = named {
        let sure = said.origin == "--output";
        return Some((said, sure));
    }
    if let Some(config) = source.text("netlify.toml").and_then(|text| text.parse::<toml::Table>().ok())
        && let Some(folder) =
            config.get("build").and_then(|build| build.get("publish")?.as_str()).filter(|folder| is_plain(folder))
    {
        return Some((Said::new(folder.trim_end_matches('/'), source.place("netlify.toml", "publish")), false));
    }
    if package.needs("next") {
        let file = config("next")?;
        let text: String = source.text(&file)?.chars().filter(|c| !c.is_whitespace()).collect();
        let exports = ["output:'export'", "output:\"export\""].iter().any(|what| text.contains(what));
        return exports.then(|| (Said::new("out", source.place(&file, "output")), true));
    }
    if package.needs("astro") {
        let file = config("astro").unwrap_or_else(|| FILE.into());
        let server =
            source.text(&file).is_some_and(|text| text.contains("adapter:") || text.contains("output: 'server'"));
        let folder = source.text(&file).and_then(|text| quoted_after(text, "outDir:")).unwrap_or("dist");
        return (!server).then(|| (Said::new(folder.trim_start_matches("./"), file), true));
    }
    for (dependency, folder) in [
        ("react-scripts", "build"),
        ("@11ty/eleventy", "_site"),
        ("@docusaurus/core", "build"),
        ("gatsby", "public"),
        ("vitepress", ".vitepress/dist"),
    ] {
        if package.needs(dependency) {
            return Some((Said::new(folder, format!("{}, {dependency}'s default", package.place(dependency))), true));
        }
    }
    if package.needs("vite") && source.has("index.html") {
        let file = config("vite");
        let named = file.as_ref().and_then(|file| quoted_after(source.text(file)?, "outDir:"));
        let origin = named.and(file).unwrap_or_else(|| format!("{}, vite's default", package.place("vite")));
        return Some((Said::new(named.unwrap_or("dist").trim_start_matches("./"), origin), false));
    }
    None
}

/// The text in quotes behind a key.
fn quoted_after<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let rest = text.split_once(key)?.1.trim_start();
    let quote = rest.chars().next().filter(|c| "'\"`".contains(*c))?;
    rest[1..].split(quote).next().filter(|word| is_plain(word))
}

fn start(package: &Package<'_>) -> Option<Said> {
    let source = package.source;
    if let Some(said) = package.script("start")
        && !is_for_developers(&said.value)
    {
        // npm in between would keep signals from the program.
        let alone = package.script("prestart").is_none() && !said.value.contains(['&', ';', '|', '=', '\n']);
        return Some(if alone { said } else { Said::new("npm start", said.origin) });
    }
    let main = package.json.get("main").and_then(Value::as_str).map(|main| main.trim_start_matches("./"));
    if let Some(main) = main.filter(|main| is_plain(main) && source.has(main)) {
        return Some(Said::new(format!("node {main}"), package.place("main")));
    }
    // `nodemon src/index.js` runs what serves.
    for script in ["dev", "start"] {
        let Some(said) = package.script(script) else { continue };
        let words: Vec<&str> = said.value.split_whitespace().filter(|word| !word.starts_with('-')).collect();
        if let ["nodemon" | "node", file] = words[..]
            && is_plain(file)
            && source.has(file)
        {
            return Some(Said::new(format!("node {file}"), said.origin));
        }
    }
    // What `npm start` runs without a script.
    source.has("server.js").then(|| Said::new("node server.js", "server.js"))
}

fn is_for_developers(command: &str) -> bool {
    procfile::has_words(command, &FOR_DEVELOPERS) || command == "vite" || command.starts_with("vite --")
}

fn test(package: &Package<'_>, install: Option<&Said>) -> Vec<Said> {
    let Some(said) = package.script("test").filter(|said| !said.value.contains("no test specified")) else {
        return vec![];
    };
    install.cloned().into_iter().chain([Said::new("npm test", said.origin)]).collect()
}

/// The major version of Node that the repo names.
fn version(package: &Package<'_>) -> Option<String> {
    let file = package.source.first(&[".nvmrc", ".node-version"]).and_then(|file| package.source.text(file));
    let engines = package.json.get("engines").and_then(|engines| engines.get("node")?.as_str());
    let digits: String =
        file.or(engines)?.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    // Older ones get no fixes of security any more.
    digits.parse::<u32>().is_ok_and(|major| major >= 20).then_some(digits)
}

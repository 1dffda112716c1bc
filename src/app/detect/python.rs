//! Python: what speaks WSGI or ASGI.

use super::procfile;
use super::source::{Said, Source, is_plain, lines};
use super::{Facts, Refusal, Wishes, one_of};

/// Servers for production, and whether they speak ASGI.
const SERVERS: [(&str, bool); 5] =
    [("uvicorn", true), ("hypercorn", true), ("daphne", true), ("gunicorn", false), ("waitress", false)];
const INSTALL: &str = "python3 -m pip install --disable-pip-version-check --no-input --target .factory/python";

/// The application object: `app:app`, whether it is a function that makes one, whether it speaks ASGI, and where it is.
#[derive(Clone, Debug)]
struct Object {
    module: String,
    name: String,
    factory: bool,
    asgi: bool,
    origin: String,
}

pub(super) fn read(source: &Source, wishes: &Wishes, facts: &mut Facts) -> Result<(), Refusal> {
    let version = source.text(".python-version").map(str::trim).filter(|text| text.starts_with("3.") && is_plain(text));
    let version = version.map_or_else(|| "3.13".into(), |text| text.split('.').take(2).collect::<Vec<_>>().join("."));
    facts.image = format!("docker.io/library/python:{version}");
    let pins = pins(source);
    if facts.build.is_empty() {
        facts.build = install(source)?;
    }
    facts.test = tests(source, &pins, &facts.build);
    if let Some(run) = &wishes.run {
        facts.start = Some(Said::new(procfile::bound(run), "--run"));
    }
    let found = objects(source);
    facts.framework = migration(source, &pins, &found);
    if facts.start.is_some() {
        return Ok(());
    }
    let web = procfile::web(source);
    let server =
        |asgi: bool| SERVERS.iter().find(|(name, speaks)| *speaks == asgi && pins.iter().any(|(pin, _)| pin == name));
    match (&found[..], web) {
        ([object], _) if server(object.asgi).is_some() => {
            let (server, _) = server(object.asgi).unwrap_or(&SERVERS[0]);
            let pin = pins.iter().find(|(pin, _)| pin == server).map_or("", |(_, origin)| origin);
            facts.start = Some(Said::new(command(server, object), format!("{} and {pin}", object.origin)));
        }
        (_, Some((start, _))) => {
            facts.start = Some(start);
        }
        ([], None) => {
            return Err(Refusal::new(
                "no application object was found: no Flask(), FastAPI(), def application or wsgi.py",
                "set the command that serves: --run 'python3 -m gunicorn --bind \"$ADDRESS:$PORT\" MODULE:OBJECT'",
            ));
        }
        ([object], None) => {
            let wanted: Vec<&str> =
                SERVERS.iter().filter(|(_, asgi)| *asgi == object.asgi).map(|(name, _)| *name).collect();
            return Err(Refusal::new(
                format!("{}: the dependencies have no production server: {}", object.origin, one_of(&wanted)),
                format!(
                    "add {} to the dependencies and commit, or set the command that serves: --run COMMAND",
                    wanted[0]
                ),
            ));
        }
        (several, None) => {
            let server = SERVERS
                .iter()
                .find(|(name, _)| pins.iter().any(|(pin, _)| pin == name))
                .map_or("gunicorn", |(name, _)| name);
            let flags: Vec<String> =
                several.iter().take(4).map(|object| format!("--run '{}'", command(server, object))).collect();
            let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
            let places: Vec<&str> = several.iter().take(4).map(|object| object.origin.as_str()).collect();
            return Err(Refusal::new(
                format!("the repo has several application objects: {}", places.join("; ")),
                format!("choose the one that serves: {}", one_of(&flags)),
            ));
        }
    }
    Ok(())
}

/// The migration of a framework whose files leave no doubt that it has some.
fn migration(source: &Source, pins: &[(String, String)], objects: &[Object]) -> Option<Said> {
    let has = |name: &str| pins.iter().any(|(pin, _)| pin == name);
    let is_step = |path: &&str| {
        let step = path.rsplit_once("/migrations/").and_then(|(_, name)| name.strip_suffix(".py"));
        step.is_some_and(|name| name.starts_with(|c: char| c.is_ascii_digit()))
    };
    if source.has("manage.py")
        && let Some(first) = source.paths().find(is_step)
    {
        return Some(Said::new("python3 manage.py migrate --noinput", format!("manage.py and {first}")));
    }
    if source.has("migrations/env.py") && has("flask-migrate") {
        // Without an object at hand it finds its own by its rules.
        let app = match objects {
            [Object { module, name, factory: false, .. }] => format!("--app {module}:{name} "),
            _ => String::new(),
        };
        return Some(Said::new(format!("python3 -m flask {app}db upgrade"), "migrations/env.py"));
    }
    (source.has("alembic.ini") && has("alembic")).then(|| Said::new("python3 -m alembic upgrade head", "alembic.ini"))
}

fn command(server: &str, object: &Object) -> String {
    let Object { module, name, factory, .. } = object;
    match (server, factory) {
        ("uvicorn", false) => format!("python3 -m uvicorn --host \"$ADDRESS\" --port \"$PORT\" {module}:{name}"),
        ("uvicorn", true) => {
            format!("python3 -m uvicorn --factory --host \"$ADDRESS\" --port \"$PORT\" {module}:{name}")
        }
        ("daphne", _) => format!("python3 -m daphne --bind \"$ADDRESS\" --port \"$PORT\" {module}:{name}"),
        ("waitress", false) => format!("python3 -m waitress --listen \"$ADDRESS:$PORT\" {module}:{name}"),
        ("waitress", true) => format!("python3 -m waitress --listen \"$ADDRESS:$PORT\" --call {module}:{name}"),
        (server, false) => format!("python3 -m {server} --bind \"$ADDRESS:$PORT\" {module}:{name}"),
        (server, true) => format!("python3 -m {server} --bind \"$ADDRESS:$PORT\" '{module}:{name}()'"),
    }
}

/// How dependencies are installed into the release.
fn install(source: &Source) -> Result<Vec<Said>, Refusal> {
    let locks: Vec<&str> = ["requirements.txt", "uv.lock", "poetry.lock", "Pipfile.lock"]
        .into_iter()
        .filter(|file| source.has(file))
        .collect();
    let file = |name: &str| format!("{INSTALL} --requirement {name}");
    let exported = ".factory/requirements.txt";
    Ok(match locks[..] {
        ["requirements.txt"] => vec![Said::new(file("requirements.txt"), "requirements.txt")],
        ["uv.lock"] => vec![
            Said::new(format!("uv export --frozen --no-dev --no-emit-project --output-file {exported}"), "uv.lock"),
            Said::new(file(exported), "uv.lock"),
        ],
        ["poetry.lock"] => vec![
            Said::new(format!("poetry export --only main --output {exported}"), "poetry.lock"),
            Said::new(file(exported), "poetry.lock"),
        ],
        ["Pipfile.lock"] => {
            return Err(Refusal::new(
                "Pipfile.lock: Pipenv is not supported yet",
                "write it as requirements.txt (pipenv requirements >requirements.txt) and commit; or use --build",
            ));
        }
        [] if source.has("pyproject.toml") => vec![Said::new(format!("{INSTALL} ."), "pyproject.toml")],
        [] => vec![],
        [..] => {
            return Err(Refusal::new(
                format!("the repo has several dependency lists: {}", locks.join(" and ")),
                format!("choose one, for example: --build '{}'", file("requirements.txt")),
            ));
        }
    })
}

/// Names of the dependencies, and where each is named.
fn pins(source: &Source) -> Vec<(String, String)> {
    let mut pins = Vec::new();
    for path in ["requirements.txt", "requirements/prod.txt", "requirements/production.txt", "requirements/base.txt"] {
        for (number, line) in source.text(path).map(lines).into_iter().flatten() {
            pins.push((package(line), format!("{path}, line {number}")));
        }
    }
    if let Some(table) = source.text("pyproject.toml").and_then(|text| text.parse::<toml::Table>().ok()) {
        let listed = table.get("project").and_then(|project| project.get("dependencies")?.as_array());
        let poetry = table.get("tool").and_then(|tool| tool.get("poetry")?.get("dependencies")?.as_table());
        let listed = listed.into_iter().flatten().filter_map(|pin| pin.as_str().map(package));
        for name in listed.chain(poetry.into_iter().flat_map(|all| all.keys().map(|name| package(name)))) {
            let origin = source.place("pyproject.toml", &name);
            pins.push((name, origin));
        }
    }
    pins
}

/// The package that a line of requirements names, in small letters.
fn package(line: &str) -> String {
    let line = line.trim();
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
    line[..end].to_ascii_lowercase().replace('_', "-")
}

/// Application objects: those of the best file when several have one.
fn objects(source: &Source) -> Vec<Object> {
    const FIRST: [&str; 5] = ["wsgi.py", "asgi.py", "app.py", "main.py", "application.py"];
    if source.has("manage.py") {
        let files = source.paths().filter(|path| path.ends_with("/wsgi.py") && path.matches('/').count() == 1);
        return files.filter_map(|file| django(source, file)).collect();
    }
    let mut all: Vec<(usize, Object)> = Vec::new();
    for (path, text) in
        source.texts(&[".py"]).filter(|(path, _)| path.matches('/').count() <= 2 && !path.contains("test"))
    {
        let Some(module) = module(path) else { continue };
        let name = path.rsplit('/').next().unwrap_or(path);
        let depth = path.matches('/').count();
        let rank = depth * 10 + FIRST.iter().position(|first| *first == name).unwrap_or(8);
        for (number, line) in lines(text) {
            if let Some((name, factory, asgi)) = object(line) {
                let origin = format!("{path}, line {number}");
                all.push((rank, Object { module: module.clone(), name, factory, asgi, origin }));
            }
        }
    }
    // An object at hand is better than a function that makes one.
    let is_ready = all.iter().any(|(_, object)| !object.factory);
    all.retain(|(_, object)| !is_ready || !object.factory);
    let best = all.iter().map(|(rank, _)| *rank).min();
    all.into_iter().filter(|(rank, _)| Some(*rank) == best).map(|(_, object)| object).collect()
}

fn django(source: &Source, file: &str) -> Option<Object> {
    let module = module(file)?;
    let origin = source.place(file, "application");
    Some(Object { module, name: "application".into(), factory: false, asgi: false, origin })
}

/// The name of a module as Python imports it from the top of the repo.
fn module(path: &str) -> Option<String> {
    let module = path.strip_suffix(".py")?.trim_end_matches("/__init__").replace('/', ".");
    let is_name = |part: &str| {
        !part.is_empty()
            && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    module.split('.').all(is_name).then_some(module)
}

/// Name, whether it is a function that makes the object, and whether it speaks ASGI.
fn object(line: &str) -> Option<(String, bool, bool)> {
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if let Some(rest) = line.strip_prefix("def ").or_else(|| line.strip_prefix("async def ")) {
        let asgi = line.starts_with("async");
        return match rest.split('(').next()? {
            "application" => Some(("application".into(), false, asgi)),
            // WSGI gives two arguments.
            "app" if rest.starts_with("app(environ") || asgi => Some(("app".into(), false, asgi)),
            "create_app" => Some(("create_app".into(), true, false)),
            _ => None,
        };
    }
    let (name, value) = line.split_once('=')?;
    let name = name.split(':').next()?.trim_end();
    if line.starts_with(char::is_whitespace) || !is_name(name) {
        return None;
    }
    let call = value.trim_start().split('(').next()?;
    match call.rsplit('.').next()? {
        "Flask" | "create_app" | "make_app" | "Bottle" | "default_app" | "get_wsgi_application" => {
            Some((name.into(), false, false))
        }
        "FastAPI" | "Starlette" | "Quart" | "get_asgi_application" => Some((name.into(), false, true)),
        _ => None,
    }
}

fn tests(source: &Source, pins: &[(String, String)], build: &[Said]) -> Vec<Said> {
    let has = |name: &str| pins.iter().any(|(pin, _)| pin == name);
    let dev = ["requirements-dev.txt", "dev-requirements.txt", "requirements/dev.txt", "requirements-test.txt"];
    let dev = source.first(&dev);
    let in_dev = dev.and_then(|file| source.text(file)).is_some_and(|text| text.contains("pytest"));
    let pytest = source.first(&["pytest.ini", "conftest.py", "tests/conftest.py"]);
    let (run, origin) = if has("pytest") || in_dev || pytest.is_some() {
        ("python3 -m pytest", pytest.or(dev).unwrap_or("requirements.txt"))
    } else if source.has("manage.py") {
        ("python3 manage.py test", "manage.py")
    } else if source.has("tests.py") {
        ("python3 tests.py", "tests.py")
    } else if source.has_folder("tests") {
        ("python3 -m unittest discover --start-directory tests", "tests/")
    } else {
        return vec![];
    };
    let mut all = build.to_vec();
    if let Some(file) = dev {
        all.push(Said::new(format!("{INSTALL} --upgrade --requirement {file}"), file));
    } else if run.ends_with("pytest") && !has("pytest") {
        all.push(Said::new(format!("{INSTALL} pytest"), origin));
    }
    all.push(Said::new(run, origin));
    all
}

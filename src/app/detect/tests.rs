//! What single files tell. Whole repos are in `tests/app/corpus/`.

use super::{Facts, Refusal, Source, Wishes, detect};

fn read(files: &[(&str, &str)]) -> Result<Facts, Refusal> {
    detect(&Source::of(files), &Wishes::default(), None)
}

fn facts(files: &[(&str, &str)]) -> Facts {
    read(files).unwrap_or_else(|refusal| panic!("{refusal:?}"))
}

/// The value and the origin of what was found.
fn said(found: Option<&super::Said>) -> (&str, &str) {
    found.map_or(("", ""), |said| (&said.value, &said.origin))
}

const APP: (&str, &str) = ("app.py", "from flask import Flask\napp = Flask(__name__)\n");
const PINS: (&str, &str) = ("requirements.txt", "flask\ngunicorn==23\n");

#[test]
fn manifests_of_platforms_come_before_the_code() {
    for (file, text, path, line) in [
        ("fly.toml", "[[services]]\n[[services.http_checks]]\npath = \"/ping\"\n", "/ping", "fly.toml, line 3"),
        ("fly.toml", "[checks.alive]\ntype = \"http\"\npath = \"/ping\"\n", "/ping", "fly.toml, line 3"),
        ("render.yaml", "services:\n- type: web\n  healthCheckPath: /ping\n", "/ping", "render.yaml, line 3"),
        ("railway.json", "{\"deploy\": {\n\"healthcheckPath\": \"/ping\"}}", "/ping", "railway.json, line 2"),
        ("railway.toml", "[deploy]\nhealthcheckPath = \"/ping\"\n", "/ping", "railway.toml, line 2"),
        (".do/app.yaml", "services:\n- health_check:\n    http_path: /ping\n", "/ping", ".do/app.yaml, line 3"),
        (
            "Dockerfile",
            "FROM x\nHEALTHCHECK CMD curl -f \\\n  http://localhost:5000/ping || exit 1\n",
            "/ping",
            "Dockerfile, line 3",
        ),
    ] {
        let code = ("routes.py", "@app.get(\"/healthz\")\n");
        let facts = facts(&[APP, PINS, code, (file, text)]);
        assert_eq!(said(facts.health.as_ref()), (path, line), "{file}");
        assert!(!facts.health_is_a_guess, "{file}");
    }
    let guess = facts(&[APP, PINS, ("routes.py", "\n@app.get(\"/health\")\n")]);
    assert_eq!(said(guess.health.as_ref()), ("/health", "routes.py, line 2"));
    assert!(guess.health_is_a_guess);
}

#[test]
fn names_of_settings_are_read_and_never_their_values() {
    let facts = facts(&[
        APP,
        PINS,
        (
            "app.json",
            "{\"env\": {\"A_KEY\": {\"required\": true}, \"B\": {\"required\": false}, \"C\": {\"value\": \"secret\"}}}",
        ),
        (".env.example", "export D_KEY=hunter2\n# E=1\nPORT=1\n;evil=1\n"),
        ("settings.py", "X = os.environ['F_KEY']\nY = os.environ.get('G')\nZ = os.environ['H'] if 1 else 0\n"),
        ("tests/test_it.py", "os.environ['ONLY_IN_TESTS']\n"),
    ]);
    let names: Vec<&str> = facts.env.iter().map(|said| said.value.as_str()).collect();
    assert_eq!(names, ["A_KEY", "D_KEY", "F_KEY", "H"]);
    assert!(!facts.lines().contains("hunter2") && !facts.lines().contains("secret"));
}

#[test]
fn a_procfile_serves_with_its_last_command() {
    let start = |web: &str| {
        let facts = facts(&[("requirements.txt", ""), ("Procfile", &format!("worker: x\nweb: {web}\n"))]);
        (facts.start.unwrap().value, facts.notes)
    };
    assert_eq!(start("gunicorn a:b --log-file -").0, "python3 -m gunicorn --bind \"$ADDRESS:$PORT\" a:b --log-file -");
    assert_eq!(start("gunicorn -b :$PORT a:b").0, "python3 -m gunicorn -b :$PORT a:b");
    assert_eq!(start("uvicorn a:b --port=$PORT").0, "python3 -m uvicorn a:b --port=$PORT");
    let (serves, notes) = start("flask db upgrade && exec python app.py");
    assert_eq!(serves, "python3 app.py");
    assert!(notes[0].ends_with(": flask db upgrade"), "{notes:?}");
    assert_eq!(start("sh -c 'a && b'").0, "sh -c 'a && b'");
}

#[test]
fn nothing_of_a_repo_becomes_another_line_or_command() {
    let evil = facts(&[
        ("requirements.txt", ""),
        ("Procfile", "web: run\n"),
        (
            "fly.toml",
            "[env]\n\"A;id\" = \"80\"\n[http_service]\ninternal_port = 80\n[mounts]\ndestination = \"/d\\nrun=x\"\n",
        ),
        ("render.yaml", "healthCheckPath: /a;id\n"),
    ]);
    let known =
        |line: &str| line.starts_with('#') || line.split('=').next().is_some_and(|key| !key.contains([' ', ';']));
    assert!(evil.lines().lines().all(|line| line.is_empty() || known(line)), "{}", evil.lines());
    assert!(evil.data.is_empty() && said(evil.health.as_ref()).0.is_empty(), "{evil:?}");
    assert!(evil.port_variable.is_none(), "{evil:?}");
    let refused =
        read(&[("go.mod", "module x\n"), ("cmd/a b;id/main.go", "package main\nfunc main() {}\n")]).unwrap_err();
    assert!(refused.why.contains("needs quotes"), "{refused:?}");
}

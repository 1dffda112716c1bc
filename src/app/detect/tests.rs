//! What single files tell. Whole repos are in `tests/app/corpus/`.

use super::{AppKind, Facts, Refusal, Source, Wishes, detect};

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
    let (serves, notes) = start("python make.py && exec python app.py");
    assert_eq!(serves, "python3 app.py");
    assert_eq!(notes, ["Procfile, line 2 runs this before each start; releases do not: python3 make.py"]);
    assert_eq!(start("sh -c 'a && b'").0, "sh -c 'a && b'");
}

#[test]
fn a_migration_is_found_where_its_owner_proved_it() {
    let django = ("manage.py", "");
    let alembic = ("requirements.txt", "flask\ngunicorn\nalembic\n");
    let flask = ("requirements.txt", "flask\ngunicorn\nFlask-Migrate==4\n");
    for (files, command, origin) in [
        (&[("Procfile", "web: x\nrelease: flask db upgrade\n")][..], "python3 -m flask db upgrade", "Procfile, line 2"),
        (&[("Procfile", "web: flask db upgrade; x\n")], "python3 -m flask db upgrade", "Procfile, line 1"),
        (&[("fly.toml", "[deploy]\nrelease_command = \"bin/migrate all\"\n")], "bin/migrate all", "fly.toml, line 2"),
        (
            &[("render.yaml", "services:\n- type: web\n  preDeployCommand: python m.py && alembic upgrade head\n")],
            "python3 m.py && python3 -m alembic upgrade head",
            "render.yaml, line 3",
        ),
        (
            &[(
                ".do/app.yaml",
                "jobs:\n- kind: PRE_DEPLOY\n  name: m\n  run_command: sh m\nservices:\n- run_command: x\n",
            )],
            "sh m",
            ".do/app.yaml, line 4",
        ),
        (&[("railway.json", "{\"deploy\": {\"preDeployCommand\": [\"sh m\"]}}")], "sh m", "railway.json, line 1"),
        (&[("app.json", "{\"scripts\": {\"dokku\": {\"predeploy\": \"sh m\"}}}")], "sh m", "app.json, line 1"),
        (
            &[("app.json", "{\"scripts\": {\"postdeploy\": \"python manage.py migrate\"}}")],
            "python3 manage.py migrate",
            "app.json, line 1",
        ),
        (
            &[(
                "compose.yaml",
                "services:\n  web:\n    build: .\n  m:\n    build: .\n    command: alembic upgrade head\n",
            )],
            "python3 -m alembic upgrade head",
            "compose.yaml, line 6",
        ),
        (
            &[django, ("shop/migrations/0001_a.py", "")],
            "python3 manage.py migrate --noinput",
            "manage.py and shop/migrations/0001_a.py",
        ),
        (&[flask, ("migrations/env.py", "")], "python3 -m flask --app app:app db upgrade", "migrations/env.py"),
        (&[alembic, ("alembic.ini", "")], "python3 -m alembic upgrade head", "alembic.ini"),
        // None of these is sure.
        (&[("app.json", "{\"scripts\": {\"postdeploy\": \"sh seed\"}}")], "", ""),
        (&[django], "", ""),
        (&[("alembic.ini", "")], "", ""),
    ] {
        let rest = [APP, PINS].into_iter().filter(|(name, _)| !files.iter().any(|(other, _)| other == name));
        let wishes = Wishes { run: Some("x".into()), ..Wishes::default() };
        let source = Source::of(&rest.chain(files.iter().copied()).collect::<Vec<_>>());
        let facts = detect(&source, &wishes, None).unwrap_or_else(|refusal| panic!("{files:?}: {refusal:?}"));
        assert_eq!(said(facts.migrate.as_ref()), (command, origin), "{files:?}");
        let line = format!("\n# what runs once for each release, before it starts, from {origin}\nmigrate={command}\n");
        assert_eq!(facts.lines().contains(&line), !command.is_empty(), "{}", facts.lines());
        for (wish, command) in [("sh mine", "sh mine"), ("", "")] {
            let facts = detect(&source, &Wishes { migrate: Some(wish.into()), ..wishes.clone() }, None).unwrap();
            assert_eq!(said(facts.migrate.as_ref()).0, command);
        }
    }
}

#[test]
fn what_listens_nowhere_is_a_worker() {
    let workers = |file: (&str, &str)| {
        let wishes = Wishes { run: Some("x".into()), ..Wishes::default() };
        let facts = detect(&Source::of(&[APP, PINS, file]), &wishes, None).unwrap();
        let line = |worker: &super::Worker| format!("{}={} # {}", worker.name, worker.said.value, worker.said.origin);
        (facts.workers.iter().map(line).collect::<Vec<_>>(), facts.notes)
    };
    let (found, notes) = workers((
        "Procfile",
        "web: x\nworker: celery -A app worker\nworker_Mail: python mail.py\nclock: a; exec b\nother: y\nrelease: z\n",
    ));
    assert_eq!(
        found,
        [
            "worker=python3 -m celery -A app worker # Procfile, line 2",
            "worker-mail=python3 mail.py # Procfile, line 3",
            "clock=sh -c 'a && exec b' # Procfile, line 4",
        ]
    );
    assert_eq!(notes, ["Procfile, line 5 has the process other, which releases do not run; --worker adds it"]);
    let fly =
        "[http_service]\nprocesses = [\"app\", \"api\"]\n[processes]\napp = \"x\"\napi = \"y\"\nmail = \"sh mail\"\n";
    assert_eq!(workers(("fly.toml", fly)).0, ["mail=sh mail # fly.toml, line 6"]);
    let render = "services:\n  - type: worker\n    name: mail\n    startCommand: sh mail\n  - type: web\n    name: site\n    \
                  envVars:\n      - key: A\n        fromService:\n          type: worker\n          name: x\n    startCommand: serve\n  \
                  - type: cron\n    startCommand: sh nightly\n";
    let (found, notes) = workers(("render.yaml", render));
    assert_eq!(found, ["mail=sh mail # render.yaml, line 4"]);
    assert_eq!(notes, ["render.yaml, line 14 is the command of a job, which releases do not run"]);
    let read = facts(&[APP, PINS, ("render.yaml", render)]);
    assert_eq!(said(read.start.as_ref()), ("serve", "render.yaml, line 12"));
    let digital_ocean =
        "name: shop\nservices:\n- name: web\n  run_command: serve\nworkers:\n- name: mail\n  run_command: sh mail\n";
    assert_eq!(workers((".do/app.yaml", digital_ocean)).0, ["mail=sh mail # .do/app.yaml, line 7"]);
    let compose = "x: 1\nservices:\n  web:\n    build: .\n    image: shop\n    ports:\n      - 80:80\n    command: serve\n  \
                   mail:\n    image: shop\n    command: [\"sh\", \"-c\", \"a b\"]\n  seed:\n    build: .\n    profiles: [seed]\n    \
                   command: sh seed\n  redis:\n    image: redis\n    command: redis-server --save 60 1\nvolumes:\n  data:\n";
    assert_eq!(workers(("compose.yaml", compose)).0, ["mail=sh -c 'a b' # compose.yaml, line 11"]);
}

#[test]
fn wishes_name_workers_and_end_them() {
    let source = Source::of(&[APP, PINS, ("Procfile", "web: x\nworker: y\n")]);
    let read = |workers: &[&str]| {
        let workers = workers.iter().map(|wish| (*wish).to_owned()).collect();
        detect(&source, &Wishes { workers, ..Wishes::default() }, None)
    };
    let found = read(&["worker=", "mail=sh mail"]).unwrap();
    assert!(
        found
            .lines()
            .contains("\n# Processes without a port, which run besides it.\n# from --worker\nworker.mail=sh mail\n")
    );
    assert!(!found.lines().contains("worker.worker"), "{}", found.lines());
    for wrong in ["mail", "Mail=x", "-a=x", "a b=x", "a=x\ny", "aaaaaaaaaaaaaaaaa=x", "=x"] {
        assert!(read(&[wrong]).unwrap_err().why.contains("--worker"), "{wrong}");
    }
    let many: Vec<String> = (0..9).map(|n| format!("w{n}=x")).collect();
    let many = read(&many.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert!(many.workers.len() == 8 && many.notes[0].ends_with("and not w7, w8"), "{:?}", many.notes);
}

#[test]
fn a_container_file_builds_what_has_no_stack() {
    let file = ("Dockerfile", "FROM x\nVOLUME /var/lib/a /b\nEXPOSE 80\nCMD [\"serve\"]\n");
    let alone = facts(&[file, ("Gemfile", ""), ("compose.yaml", "services:\n"), ("render.yaml", "startCommand: x\n")]);
    let text = alone.lines();
    assert!(
        text.contains("\n# from Dockerfile\nbuild.1=.factory/image Dockerfile\n")
            && text.contains("\nroot=.factory/rootfs\n")
            && text.contains(" from Dockerfile, line 2\nvolume=/var/lib/a\n")
            && !text.contains("start=")
            && !text.contains("run="),
        "{text}"
    );
    assert!(
        alone.notes[0].contains("keeps data in /b too") && alone.notes[1].contains("line 3 exposes 80; "),
        "{text}"
    );
    assert!(facts(&[("Containerfile", "FROM x\nEXPOSE 80\nCMD serve $PORT\n")]).notes.is_empty());
    // A language that has a stack keeps it, but by choice.
    assert_eq!(facts(&[file, APP, PINS]).stack, "python");
    let choose = |files: &[(&str, &str)]| {
        let wishes = Wishes { stack: Some(super::Stack::Container), run: Some("web".into()), ..Wishes::default() };
        detect(&Source::of(files), &wishes, None)
    };
    let chosen = choose(&[file, APP, PINS]).unwrap();
    assert!(chosen.is_container && said(chosen.start.as_ref()) == ("web", "--run"));
    assert!(choose(&[APP, PINS]).unwrap_err().why.contains("no Containerfile or Dockerfile"));
    let kind = |files: &[(&str, &str)]| detect(&Source::of(files), &Wishes::default(), Some(AppKind::Container));
    assert!(kind(&[file, APP, PINS]).unwrap().is_container);
    assert!(kind(&[APP, PINS]).unwrap_err().why.contains("no Containerfile or Dockerfile"));
    let two = read(&[file, APP, PINS, ("go.mod", "module x\n")]).unwrap_err();
    assert!(two.hints[0].ends_with("or --stack container"), "{two:?}");
    assert!(read(&[("Gemfile", "")]).unwrap_err().hints[0].contains("add a Containerfile"));
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

#[test]
fn a_database_that_its_owner_chose_is_asked_for() {
    let read = |files: &[(&str, &str)]| {
        let wishes = Wishes { run: Some("x".into()), ..Wishes::default() };
        let rest = [APP, PINS].into_iter().filter(|(name, _)| !files.iter().any(|(other, _)| other == name));
        detect(&Source::of(&rest.chain(files.iter().copied()).collect::<Vec<_>>()), &wishes, None).unwrap()
    };
    for (file, text, origin) in [
        (
            "compose.yaml",
            "services:\n  web:\n    build: .\n  db:\n    image: docker.io/library/postgres:16@sha256:a\n",
            "line 5",
        ),
        ("docker-compose.yml", "services:\n  db:\n    image: \"postgis/postgis\"\n", "line 3"),
        ("render.yaml", "databases:\n  - name: shop\n    plan: free\nservices:\n  - type: web\n", "line 2"),
        (".do/app.yaml", "databases:\n- engine: PG\n  name: db\n", "line 2"),
        ("app.json", "{\"addons\": [\"heroku-postgresql:mini\"]}", "line 1"),
        ("app.json", "{\"addons\": [{\"plan\": \"heroku-postgresql\"}]}", "line 1"),
        (".env.example", "A=b\nexport DATABASE_URL=\"postgres://localhost/shop\"\n", "line 2"),
    ] {
        let found = read(&[(file, text), ("a.py", "os.environ[\"DATABASE_URL\"]\n")]);
        assert_eq!(said(found.postgres.as_ref()), ("yes", format!("{file}, {origin}").as_str()), "{file}");
        assert!(found.lines().contains("\nservice.postgres=yes\n"), "{}", found.lines());
        assert!(!found.lines().contains("env=DATABASE_URL"), "{}", found.lines());
    }
    for (file, text, origin) in [
        ("compose.yaml", "services:\n  queue:\n    image: valkey/valkey:8\n", "line 3"),
        ("render.yaml", "services:\n  - type: keyvalue\n    name: queue\n", "line 2"),
        (".do/app.yaml", "databases:\n- engine: VALKEY\n  name: db\n", "line 2"),
        ("app.json", "{\"addons\": [\"heroku-redis\"]}", "line 1"),
        (".env.example", "REDIS_URL=redis://localhost:6379/0\n", "line 1"),
    ] {
        let found = read(&[(file, text), ("a.py", "os.environ[\"REDIS_URL\"]\n")]);
        assert_eq!(said(found.redis.as_ref()), ("yes", format!("{file}, {origin}").as_str()), "{file}");
        assert_eq!((found.postgres, found.notes), (None, Vec::new()), "{file}");
    }
    // Another one, none, or only a driver for it.
    for (file, text, note) in [
        ("compose.yaml", "services:\n  db:\n    image: mysql:8\n", "compose.yaml, line 3 has mysql, which"),
        ("app.json", "{\"addons\": [\"cloudamqp\"]}", "app.json, line 1 has cloudamqp, which"),
        (".do/app.yaml", "databases:\n- engine: MYSQL\n", ""),
        (".env.example", "DATABASE_URL=sqlite:///x\n", ""),
        (".env.example", "DATABASE_URL=\n", ""),
        (
            "requirements.txt",
            "flask\npsycopg2-binary==2.9 ; python_version > '3'\n",
            "requirements.txt, line 2 has psycopg2-binary: if",
        ),
    ] {
        let found = read(&[(file, text)]);
        assert_eq!(found.postgres, None, "{file}");
        assert!(found.notes.concat().starts_with(note), "{file}: {:?}", found.notes);
        assert_eq!(found.notes.len(), usize::from(!note.is_empty()), "{file}: {:?}", found.notes);
    }
}

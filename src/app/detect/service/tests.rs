//! What lines of Compose files mean for a release.

use super::super::{Facts, detect};
use super::*;

fn read(compose: &str, more: &[(&str, &str)]) -> Result<Facts, Refusal> {
    let mut files = vec![("compose.yaml", compose)];
    files.extend(more);
    detect(&Source::of(&files), &Wishes::default(), None)
}

const FILE: (&str, &str) = ("web/Dockerfile", "FROM x\nCMD [\"./serve\"]\n");
const HEAD: &str = "services:\n  web:\n    build: ./web\n    ports: [\"8080:80\"]\n";

#[test]
fn one_service_and_what_the_host_has() {
    let compose = "\
x-image: &image
  build: { context: web, dockerfile: prod.Dockerfile, target: run, args: { LEVEL: \"${LEVEL:-2}\" } }
  environment: &settings
    DATABASE_URL: postgres://me:pw@db:5432/shop
    REDIS_URL: ${REDIS_URL:-redis://queue:6379/0}
    GREETING: hello $${you}
    SECRET_KEY: abc
    MAIL_HOST: ${MAIL_HOST}
    ROLE: web
    HOME: /tmp
    PORT: 80
    CACHE_DRIVER: queue
    APP_PORT: 3000
services:
  web:
    <<: *image
    command: [\"./serve\", \"--all of it\"]
    ports: [\"${PORT:-8080}:3000\"]
    volumes: [\"kept:/data/kept\"]
    depends_on: [db, queue]
    healthcheck: { test: [\"CMD\", \"curl\", \"-f\", \"http://localhost:3000/alive\"] }
    restart: unless-stopped
    privileged: false
    stop_grace_period: 30s
  mail:
    <<: *image
    command: ./mail --all
  move:
    <<: *image
    command: rails db:migrate
  db: { image: \"postgres:16\", volumes: [\"db:/var/lib/postgresql/data\"], environment: { POSTGRES_PASSWORD: pw } }
  queue: { image: \"docker.io/library/redis:7\" }
  seed: { image: \"me/seed\", profiles: [seed] }
volumes: { kept: {}, db: {} }
";
    let override_file = ("compose.override.yaml", "services: {}\n");
    let file = ("web/prod.Dockerfile", "FROM x\nHEALTHCHECK NONE\nCMD [\"./other\"]\n");
    let facts = read(compose, &[file, override_file]).unwrap();
    let said = |said: &Option<Said>| said.as_ref().map(|said| said.value.clone()).unwrap_or_default();
    assert_eq!((facts.stack, said(&facts.folder).as_str()), ("container", "web"));
    assert_eq!(
        facts.build[0].value,
        ".factory/image prod.Dockerfile '--target=run' '--build-arg=LEVEL=2' '--env=GREETING=hello ${you}' '--env=ROLE=web' '--env=HOME=/tmp' '--env=CACHE_DRIVER=queue'"
    );
    assert_eq!(said(&facts.start), "./serve '--all of it'");
    assert_eq!((said(&facts.volume), said(&facts.port_variable)), ("/data/kept".into(), "APP_PORT".into()));
    assert_eq!((said(&facts.health), said(&facts.migrate)), ("/alive".into(), "rails db:migrate".into()));
    assert_eq!((said(&facts.postgres), said(&facts.redis)), ("yes".into(), "yes".into()));
    assert_eq!(
        facts.workers.iter().map(|it| (it.name.as_str(), it.said.value.as_str())).collect::<Vec<_>>(),
        [("mail", "./mail --all")]
    );
    let names: Vec<&str> = facts.env.iter().map(|said| said.value.as_str()).collect();
    assert_eq!(names, ["SECRET_KEY", "MAIL_HOST"]);
    let notes = facts.notes.join("\n");
    for part in [
        "seed in a profile",
        "line 7 has a value of SECRET_KEY",
        "take 30s to end: set drain",
        "compose.override.yaml is not read",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

fn refused(line: &str, why: &str) {
    let refusal = read(&format!("{HEAD}{line}"), &[FILE, ("api/Dockerfile", ""), ("job/Dockerfile", "")]).unwrap_err();
    assert!(refusal.why.contains(why) && refusal.why.starts_with("compose.yaml"), "{line}: {}", refusal.why);
    assert!(!refusal.hints.is_empty(), "{line}");
}

#[test]
fn what_is_no_worker_no_data_and_no_setting_is_refused_by_its_line() {
    for (line, why) in [
        ("  mail: { build: ./web }\n", "line 5: mail has no command, so it would run the image's"),
        ("  m: { build: ./web, command: \"sh -c 'a\\n\\nb'\" }\n", "line 5: the command of m is not one line"),
        ("  seed: { build: ./web, command: seed, restart: \"no\" }\n", "line 5: seed runs once and ends"),
        ("  m: { build: ./web, command: \"./m ${WHAT}\" }\n", "line 5: m takes its command from a variable"),
        ("  m: { build: { context: web, target: m }, command: ./m }\n", "these are several: web (line 2), m (line 5)"),
        ("    volumes: [\"${DATA}:/a\"]\n", "line 5: web takes volumes from a variable"),
        (
            "    volumes: [\"a:/a\"]\n  m: { build: ./web, command: m, volumes: [\"b:/a\"] }\n",
            "line 6: m has another volume at /a",
        ),
        ("    volumes: [\"a:/a\"]\nvolumes: { a: { external: true } }\n", "line 5: the volume a has external"),
        (
            "    volumes: [\"a:/a\"]\nvolumes: { a: { driver_opts: { o: bind } } }\n",
            "line 5: the volume a has driver_opts",
        ),
        (
            "    volumes:\n    - { type: volume, source: a, target: /a, volume: { subpath: x } }\n",
            "line 6: web has a mount",
        ),
        (
            "    deploy: { resources: { reservations: { devices: [{ driver: nvidia }] } } }\n",
            "line 5: web reserves devices",
        ),
        (
            "    environment: { DB_HOST: \"${DB_HOST:-db}\" }\n  db: { image: postgres }\n",
            "DB_HOST has the address of db",
        ),
        (
            "    environment: { MAIL_HOST: box }\n  db: { image: postgres, container_name: box }\n",
            "MAIL_HOST has the address of box",
        ),
        (
            "    environment: { A_HOST: data }\n  db: { image: redis, networks: { default: { aliases: [data] } } }\n",
            "A_HOST has the address of data",
        ),
        (
            "    environment: { A_HOST: data }\n    links: [\"db:data\"]\n  db: { image: redis }\n",
            "A_HOST has the address of data",
        ),
        ("    environment: { DSN: \"host=db user=x\" }\n  db: { image: postgres }\n", "DSN has the address of db"),
    ] {
        refused(line, why);
    }
}

#[test]
fn what_a_release_cannot_have_is_refused_by_its_line() {
    for (line, why) in [
        ("    privileged: true\n", "line 5: web has privileged: true, which"),
        ("    network_mode: host\n", "line 5: web has network_mode: host, which"),
        ("    cap_add: [NET_ADMIN]\n", "line 5: web has cap_add, which"),
        ("    devices: [/dev/kvm]\n", "line 5: web has devices, which"),
        ("    pid: host\n", "line 5: web has pid: host, which"),
        ("    stop_signal: SIGINT\n", "line 5: web has stop_signal: SIGINT, which"),
        ("    secrets: [one]\n", "line 5: web has secrets, which"),
        ("    extends: { file: other.yaml, service: x }\n", "line 5: web has extends, which"),
        ("    what-is-new: 1\n", "line 5: web has what-is-new: 1, which"),
        ("    volumes: [\"./conf:/etc/conf:ro\"]\n", "line 5: web binds ./conf to /etc/conf"),
        ("    volumes: [\"/var/run/docker.sock:/var/run/docker.sock\"]\n", "line 5: web binds /var/run/docker.sock"),
        ("    volumes:\n    - { type: bind, source: a, target: /a }\n", "line 6: web binds a to /a"),
        ("    volumes: [\"a:/a\", \"b:/b\"]\n", "line 5: a release has one folder for data, and /b"),
        ("    volumes:\n    - { type: npipe, source: a, target: /a }\n", "line 6: web has a mount"),
        ("    environment: { DB_HOST: db }\n  db: { image: postgres }\n", "line 5: DB_HOST has the address of db"),
        (
            "    environment: [\"CACHE=redis://db:6379\"]\n  db: { image: redis }\n",
            "line 5: CACHE has the address of db",
        ),
        ("    environment: { BROKER_URL: db }\n  db: { image: redis }\n", "line 5: BROKER_URL has the address of db"),
        ("    environment: { 1A: x }\n", "line 5: 1A is no name of a variable"),
        ("    command: npm run dev\n", "line 5 runs a development server: npm run dev"),
        ("  db: { image: mysql }\n", "line 5: db runs mysql, and the factory offers Postgres and Redis alone"),
        (
            "  db: { image: postgres, volumes: [\"./a.sql:/docker-entrypoint-initdb.d/a.sql\"] }\n",
            "line 5: db binds ./a.sql",
        ),
        ("  api: { build: ./api, ports: [\"81:81\"] }\n", "these are several: web (line 2), api (line 5)"),
        ("  job: { build: ./job }\n", "these are several: web (line 2), job (line 5)"),
        (
            "  job: { build: ./web, environment: { A: 1 } }\n  k: { build: ./web, environment: { A: 2 } }\n",
            "line 6: A is 2, and in compose.yaml, line 5 1",
        ),
        ("include: [other.yaml]\n", "line 5 includes other files"),
    ] {
        refused(line, why);
    }
    // One of several is adopted by its own files, and that is said.
    let several = format!("{HEAD}  api: {{ build: ./api }}\n");
    let wishes = Wishes { folder: Some("web".into()), ..Wishes::default() };
    let source = Source::of(&[("compose.yaml", &several), FILE, ("api/Dockerfile", "")]);
    let facts = detect(&source, &wishes, None).unwrap();
    assert_eq!(facts.build[0].value, ".factory/image Dockerfile");
    assert!(facts.notes[0].starts_with("compose.yaml, line 2 runs this folder too"), "{:?}", facts.notes);
    for (head, why) in [
        ("services: { a: { image: nginx } }\n", "builds no service from the repo"),
        ("services: { web: { build: ./gone } }\n", "line 1: its context gone is no directory"),
        ("services: { web: { build: { context: web, dockerfile: gone } } }\n", "line 1: its container file is not in"),
        ("services: { web: { build: \"https://example.org/x.git\" } }\n", "is no directory of the repo"),
        ("services: { web: { build: { context: web, secrets: [x] } } }\n", "line 1: build has secrets"),
        ("services: { web: { build: { context: web, args: [TOKEN] } } }\n", "line 1: the build takes TOKEN from"),
        ("services: { web: { build: web, ports: [\"80:80\", \"81:81\"] } }\n", "line 1: web publishes 81 too"),
        ("services: { web: { build: web, ports: [\"3000-3005\"] } }\n", "line 1: web publishes 3000-3005, and"),
        ("services: { web: { build: { context: web, target: \"${T}\" } } }\n", "the build takes it from a variable"),
        ("services: { web: { build: web }, my: { image: mysql } }\n", "my runs mysql"),
        ("services: [\n", "compose.yaml is not YAML"),
    ] {
        let refusal = read(head, &[FILE]).unwrap_err();
        assert!(refusal.why.contains(why), "{head}: {}", refusal.why);
    }
    let entry = ("web/Dockerfile", "FROM x\nENTRYPOINT [\"./run\"]\n");
    let refusal = read(&format!("{HEAD}    command: serve\n"), &[entry]).unwrap_err();
    assert_eq!(refusal.hints, ["set the whole command that serves: --run COMMAND"]);
    for more in ["    command: serve\n    entrypoint: null\n", "  m: { build: ./web, command: m }\n"] {
        let refusal = read(&format!("{HEAD}{more}"), &[entry]).unwrap_err();
        assert!(refusal.why.contains("gives arguments to the image's ENTRYPOINT"), "{more}: {}", refusal.why);
    }
    let builds = "FROM x AS Tools\nENTRYPOINT [\"make\"]\nVOLUME /cache\nHEALTHCHECK CMD curl http://localhost/tools\n";
    for (image, target, has_entry) in [
        (format!("{builds}FROM x\nCMD [\"serve\"]\n"), "", false),
        (format!("{builds}FROM --platform=y tools as z\nCMD [\"serve\"]\n"), "", true),
        (format!("{builds}FROM tools\nENTRYPOINT []\n"), "", false),
        (format!("{builds}FROM x\n"), "tools", true),
        (format!("{builds}FROM x\nRUN cat \\\n  from tools\n"), "", false),
        (format!("FROM x AS web\n{builds}"), "web", false),
        (format!("FROM x AS web\n{builds}"), "0", false),
    ] {
        let target = if target.is_empty() { String::new() } else { format!(", target: {target}") };
        let text =
            format!("services: {{ web: {{ build: {{ context: web{target} }}, command: serve, ports: [80] }} }}\n");
        let found = read(&text, &[("web/Dockerfile", &image)]);
        assert_eq!(found.is_err(), has_entry, "{image}{target}: {found:?}");
        if let Some(facts) = found.ok().filter(|_| !image.contains("FROM tools")) {
            assert_eq!((facts.volume, facts.health), (None, None), "{image}");
        }
    }
    let facts = read(&format!("{HEAD}    command: serve\n    entrypoint: [./go, now]\n"), &[entry]).unwrap();
    assert_eq!(facts.start.unwrap().value, "./go now serve");
}

#[test]
fn a_container_file_at_the_top_decides_and_the_rest_is_said() {
    let file = ("Dockerfile", "FROM x\nCMD [\"./serve\"]\n");
    let facts =
        read("services:\n  web:\n    build: .\n    ports: [\"80\"]\n    volumes: [\".:/app\"]\n", &[file]).unwrap();
    assert_eq!((facts.build[0].value.as_str(), facts.start), (".factory/image Dockerfile", None));
    assert!(facts.notes[0].starts_with("compose.yaml, line 5: web binds . to /app"), "{:?}", facts.notes);
    let facts = read("services:\n  web:\n    build: .\n    environment: { A: 1 }\n", &[file]).unwrap();
    assert_eq!(facts.build[0].value, ".factory/image Dockerfile '--env=A=1'");
    // Compose for what it needs while it is developed, and another image of the repo.
    for compose in ["services: { db: { image: postgres } }\n", "services: { docs: { build: ./docs } }\n"] {
        let facts = read(compose, &[file]).unwrap();
        assert_eq!((facts.build[0].value.as_str(), facts.folder), (".factory/image Dockerfile", None));
    }
}

#[test]
fn what_a_file_says_stays_in_its_line() {
    let evil = "a\\nmemory=9G\\nport.production=2222\\e[31m";
    let compose = format!(
        "{HEAD}    stop_grace_period: \"9s\\nmigrate=touch x\"\n  \"{evil}\": {{ build: ./web, profiles: [a] }}\n"
    );
    let facts = read(&compose, &[FILE]).unwrap();
    assert!(facts.notes.iter().any(|note| note.contains("a?memory=9G?port.production=2222?[31m in a profile")));
    let lines = facts.lines();
    assert!(!lines.contains("\nmemory=") && !lines.contains("\nmigrate=") && !lines.contains('\u{1b}'), "{lines}");
    let refusal = read(&format!("{HEAD}  \"{evil}\": {{ image: \"my\\nsql\" }}\n"), &[FILE]).unwrap_err();
    assert!(!refusal.why.contains(char::is_control), "{}", refusal.why);
}

#[test]
fn each_service_is_one_thing() {
    let found = |compose: &str, more: &[(&str, &str)]| {
        let facts = read(compose, more).unwrap_or_else(|refusal| panic!("{compose}: {refusal:?}"));
        let workers = facts.workers.iter().map(|it| format!("{}={}", it.name, it.said.value)).collect::<Vec<_>>();
        (workers.join("; "), facts.migrate.map(|said| said.value).unwrap_or_default(), facts.notes.join("\n"))
    };
    // The one that serves is no worker too, and commands in an image are left as they are.
    let alone = "services:\n  web:\n    build: ./web\n    command: gunicorn app:app\n";
    assert_eq!(found(alone, &[FILE]).0, "");
    let (workers, migrate, notes) = found(
        &format!(
            "{HEAD}    image: me\n    depends_on: {{ seed: {{ condition: service_completed_successfully }} }}\n  \
             seed: {{ image: me, command: python seed.py, depends_on: [m2] }}\n  \
             m2: {{ image: me, command: alembic upgrade head, depends_on: {{ m1: {{}} }} }}\n  \
             m1: {{ image: me, command: python manage.py migrate }}\n  \
             notification.worker_x: {{ image: me, entrypoint: [celery], command: [-A, \"x y\"] }}\n  \
             metrics: {{ image: me, expose: [9100], command: python m.py --port $PORT }}\n  \
             long:\n    image: me\n    command: >\n      python\n      l.py\n    volumes: [{{ type: tmpfs, target: /tmp }}]\n    \
             healthcheck: {{ test: [\"CMD\", \"curl\", \"http://localhost:9/metrics\"] }}\n"
        ),
        &[FILE],
    );
    assert_eq!(workers, "notification-wor=celery -A 'x y'; metrics=python m.py --port $PORT; long=python l.py");
    assert_eq!(migrate, "python manage.py migrate && alembic upgrade head && python seed.py");
    assert!(notes.contains("line 7 runs before each release") && notes.contains("metrics runs as a worker"), "{notes}");
    // One of another image, in a repo that its container file or its language describes.
    let other = "services:\n  web: { build: ., ports: [\"80\"] }\n  mail: { build: ./w, command: node mail.js }\n  \
                 db: { image: postgres, profiles: [dev] }\n";
    let top = ("Dockerfile", "FROM x\nCMD [\"./serve\"]\n");
    for more in [&[top][..], &[("requirements.txt", ""), ("Procfile", "web: x\n")]] {
        let (workers, _, notes) = found(other, more);
        assert_eq!(workers, "", "{notes}");
        assert!(
            notes.contains("line 3: mail is built as another image") && notes.contains("db in a profile"),
            "{notes}"
        );
        let facts = read(other, more).unwrap();
        assert_eq!(facts.postgres, None);
    }
    let (_, _, notes) = found("a: [\n", &[top]);
    assert_eq!(notes, "compose.yaml is not YAML that can be read");
    // What a wish decides is no fault.
    let wishes = Wishes { workers: vec!["m=".into()], migrate: Some(String::new()), ..Wishes::default() };
    let compose = format!("{HEAD}  m: {{ build: ./web }}\n  once: {{ build: ./web, restart: \"no\" }}\n");
    assert!(detect(&Source::of(&[("compose.yaml", &compose), FILE]), &wishes, None).unwrap().workers.is_empty());
}

#[test]
fn settings_are_what_compose_makes_of_them() {
    let compose = format!(
        "{HEAD}    command: serve --env development --workers ${{W:-2}} --listen ${{HOST:-0.0.0.0}}:${{PORT:-80}}\n    \
         env_file: [.env.default]\n    environment:\n      LEVEL: info\n      EMPTY: \"\"\n      NEST: ${{A:-${{B:-x}}}}\n      \
         MODE: \"null\"\n      SHELL_GIVES:\n      CACHE: redis://cache.example.com/0\n      db_password: hunter2\n      \
         AMQP: amqp://me:pw@mq.example.com\n      DSN: user=me password=pw\n  redis: {{ image: redis }}\n"
    );
    let files = [FILE, (".env.default", "LEVEL=debug\nRAW='a $W' # b\n"), (".env", "W=8\n")];
    let facts = read(&compose, &files).unwrap();
    assert_eq!(
        facts.build[0].value,
        ".factory/image Dockerfile '--env=RAW=a $W' '--env=LEVEL=info' '--env=EMPTY=' '--env=NEST=x' '--env=MODE=null' \
         '--env=CACHE=redis://cache.example.com/0'"
    );
    assert_eq!(facts.start.unwrap().value, "serve --env development --workers 8 --listen $HOST:$PORT");
    let names: Vec<&str> = facts.env.iter().map(|said| said.value.as_str()).collect();
    assert_eq!(names, ["SHELL_GIVES", "db_password", "AMQP", "DSN"]);
}

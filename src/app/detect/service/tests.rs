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
        ".factory/image prod.Dockerfile '--target=run' '--build-arg=LEVEL=2' '--env=GREETING=hello ${you}' '--env=ROLE=web' '--env=CACHE_DRIVER=queue'"
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
        let refusal =
            read(&format!("{HEAD}{line}"), &[FILE, ("api/Dockerfile", ""), ("job/Dockerfile", "")]).unwrap_err();
        assert!(refusal.why.contains(why) && refusal.why.starts_with("compose.yaml"), "{line}: {}", refusal.why);
        assert!(!refusal.hints.is_empty(), "{line}");
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
        ("services: [\n", "compose.yaml is not YAML"),
    ] {
        let refusal = read(head, &[FILE]).unwrap_err();
        assert!(refusal.why.contains(why), "{head}: {}", refusal.why);
    }
    let entry = ("web/Dockerfile", "FROM x\nENTRYPOINT [\"./run\"]\n");
    let refusal = read(&format!("{HEAD}    command: serve\n"), &[entry]).unwrap_err();
    assert_eq!(refusal.hints, ["set the whole command that serves: --run COMMAND"]);
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

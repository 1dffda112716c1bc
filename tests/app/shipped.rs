//! Each stack of the corpus on a real host: adopted, built, deployed, a bad release, and back. `image` does the same for a container file.

use std::fs;
use std::path::Path;

use factoryup::app::{ADOPT_BRANCH, Made, Request, Trial};

use crate::control_repo::{ControlRepo, passed};
use crate::corpus::{adopt_at, repo};
use crate::deploy::{App, code};
use crate::image::packed;
use crate::journey::Journey;
use crate::scaffold::{git, run};
use crate::support;

/// With the real packages, of a registry.
const FLASK: &str = "import os\n\nfrom flask import Flask\n\napp = Flask(__name__)\napp.config[\"SECRET_KEY\"] = os.environ[\"SECRET_KEY\"]\n\n\n\
    @app.get(\"/auth/login\")\ndef login():\n    return \"log in\"\n";
const EXPRESS: &str = "const app = require(\"express\")();\napp.get(\"/\", (request, response) => response.redirect(\"/items\"));\n\
    app.get(\"/items\", (request, response) => response.json([]));\napp.listen(process.env.PORT || 3000, \"127.0.0.1\");\n";

/// A repo of the corpus: the tools that build it, files that it gets besides, and the page that it answers.
struct Stack {
    name: &'static str,
    needs: &'static [&'static str],
    files: &'static [(&'static str, &'static str)],
    page: &'static str,
}

const STACKS: [Stack; 9] = [
    Stack { name: "html", needs: &[], files: &[], page: "/" },
    Stack {
        name: "hugo",
        needs: &["hugo"],
        files: &[("layouts/index.html", "<h1>{{ .Site.Title }}</h1>\n")],
        page: "/",
    },
    Stack { name: "site", needs: &["node", "npm"], files: &[], page: "/" },
    Stack { name: "next", needs: &["node", "npm"], files: &[], page: "/" },
    Stack { name: "go", needs: &["go"], files: &[], page: "/readyz" },
    Stack { name: "rust", needs: &["cargo"], files: &[], page: "/health_check" },
    Stack { name: "flask", needs: &["pip3"], files: &[("microblog.py", FLASK)], page: "/auth/login" },
    // Of several, the application in one folder, with a package of another one.
    Stack { name: "monorepo", needs: &["node", "npm"], files: &[], page: "/healthz" },
    Stack { name: "express", needs: &["node", "npm"], files: &[("src/index.js", EXPRESS)], page: "/items" },
];

pub(crate) fn each_stack(journey: &Journey, control: &ControlRepo) {
    let folder = tempfile::tempdir().unwrap();
    let pip = ["-m", "pip", "download", "--quiet", "--no-deps", "--dest", ".", "Flask==3.0.3"];
    let registry = support::satisfied("a registry of packages", run(folder.path(), "python3", &pip).status.success());
    journey
        .inside("DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends nodejs >/dev/null 2>&1");
    for stack in &STACKS {
        if support::available(stack.needs) && (registry || !["flask", "express", "next"].contains(&stack.name)) {
            ships(journey, control, stack);
        }
    }
}

fn ships(journey: &Journey, control: &ControlRepo, stack: &Stack) {
    let name: &'static str = Box::leak(format!("app-{}", stack.name).into_boxed_str());
    let folder = repo(control, stack.name);
    for (path, text) in stack.files {
        fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        fs::write(folder.join(path), text).unwrap();
    }
    if stack.name == "express" {
        let package = fs::read_to_string(folder.join("package.json")).unwrap();
        let with = package.replacen("\"scripts\"", "\"dependencies\": { \"express\": \"4.21.2\" },\n  \"scripts\"", 1);
        fs::write(folder.join("package.json"), with).unwrap();
    }
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "--allow-empty", "-m", "What it needs"]);
    let adopted = adopt_at(control, stack.name, folder, |request: &mut Request<'_>| {
        // Next.js is built once: its packages have 340 MB.
        request.trial = stack.name != "next";
        // Its Procfile migrates a database that this one has not.
        request.wishes.folder = (stack.name == "monorepo").then(|| "apps/web".to_owned());
        request.wishes.migrate = (stack.name == "flask").then(String::new);
    });
    match &adopted.made {
        Ok(Made::Adopted { trial: Trial::Answered { path, .. }, .. }) => assert_eq!(path, stack.page, "{name}"),
        Ok(Made::Adopted { trial: Trial::Built, .. }) => {}
        Ok(Made::Adopted { trial: Trial::NotTried { .. }, .. }) if stack.name == "next" => {}
        other => panic!("{name}: {other:?}"),
    }
    git(&adopted.folder, &["switch", "-q", ADOPT_BRANCH]);
    let conf = fs::read_to_string(adopted.folder.join(".factory/app.conf")).unwrap();
    let is_site = conf.contains("\nsite=");
    let port = conf.lines().find_map(|line| line.strip_prefix("port.production=")).unwrap().parse().unwrap();
    let app = App { journey, folder: adopted.folder, name, port };
    if stack.name == "flask" {
        passed(
            &journey
                .host
                .run_inside(&["sh", "-c", &format!("echo SECRET_KEY=one | factory-deploy settings {name}")])
                .unwrap(),
        );
    }
    app.build("1.0.0");
    assert_eq!(git(&app.folder, &["status", "--porcelain"]), "", "{name}");
    assert!(passed(&app.install("1.0.0")).contains("1.0.0 serves"), "{name}");
    let answers =
        || journey.inside(&format!("curl -sS -o /dev/null -w '%{{http_code}}' http://127.0.0.1:{port}{}", stack.page));
    assert_eq!(answers(), "200", "{name}");
    let (good, bad) = ("../good.tar.gz", "../bad.tar.gz");
    let breaks = if is_site { "s#^health=.*#health=/gone.html#" } else { "s#^start=.*#start=exit 3#" };
    packed(&app, "touch .factory/second", good);
    packed(&app, &format!("sed -i '{breaks}' .factory/app.conf"), bad);
    assert!(
        code(&app.deploy(&format!(".factory/deploy install {bad} 2.0.0")), 76).contains("1.0.0 still serves"),
        "{name}"
    );
    passed(&app.deploy(&format!(".factory/deploy install {good} 2.1.0")));
    assert!(passed(&app.deploy(".factory/deploy rollback")).contains("1.0.0 serves"), "{name}");
    assert_eq!((answers().as_str(), app.current().as_path()), ("200", Path::new("releases/1.0.0")), "{name}");
    let done = ["install", "install", "install", "rollback"].into_iter();
    let done = done.zip(["1.0.0: healthy", "2.0.0: reverted", "2.1.0: healthy", "1.0.0: healthy"]);
    assert_eq!(app.evidence(), done.map(|(what, how)| format!("{what} {name} {how}")).collect::<Vec<_>>());
}

//! Wrong edits, as a hurried human or an agent makes them: `scripts/check` refuses each, naming the file and what to do instead.

use std::fs;

use crate::checks::ready;
use crate::control_repo::{ControlRepo, passed, stdout, text};

/// A check, a file, what is replaced in it (nothing: it is added at its end), by what, and words of the line that names the file.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

const PRODUCTION: &str = "infra/environments/production/terraform.tfvars";
const CONTROL: &str = "infra/control-plane/terraform.tfvars";
const SHOP: &str = "infra/apps/shop.json";
const POLICY: &str = "infra/policy/allowed-changes.json";
const KINDS: &str = "infra/policy/resources.json";
const CI: &str = ".gitlab-ci.yml";

const RESOURCE: &str = "resource \"random_pet\" \"p\" {}\n";
const COMMENTED: &str = "/* a * b */ resource  random_pet \"p\" {}\n";

/// An application that is right.
const APP: &str = r#"{
  "description": "The shop",
  "environments": {
    "staging": { "tier": "staging", "port": 8101, "public": false },
    "production": { "tier": "production", "port": 8100, "public": false }
  }
}
"#;

const DATA: &[Row] = &[
    // What the engine reads beside *.tf and *.tfvars.
    ("data", "infra/environments/production/z.tf.json", "", "{}\n", "write it without .json"),
    ("data", "infra/environments/production/z.tofu.json", "", "{}\n", "write it without .json"),
    ("data", "infra/environments/production/z.auto.tfvars.json", "", "{}\n", "write it without .json"),
    ("data", "infra/environments/production/terraform.tfvars.json", "", "{}\n", "write it without .json"),
    ("data", "infra/modules/edge/z.tf.json", "", "{}\n", "write it without .json"),
    ("data", "infra/environments/production/z.tofu", "", RESOURCE, "no plan with the type random_pet is accepted"),
    ("data", "infra/environments/production/z.tf", "", COMMENTED, "no plan with the type random_pet is accepted"),
    ("data", "infra/environments/production/ü.tf", "", RESOURCE, "no plan with the type random_pet is accepted"),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"status\", type = \"CNAME\" } }",
        ":15: records.a.content is missing: a record needs its content",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"TXT\", content = \" \" } }",
        "records.a.content is missing",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"CNMAE\", content = \"b.example.net\" } }",
        "a record type is one of A, AAAA, CNAME, MX, TXT",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"CNAME\", content = \"A.example.org.\" } }",
        "leads to itself: name what answers",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"A\", content = \"203.0.113.700\" } }",
        "must be an IPv4 address",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"AAAA\", content = \"203.0.113.7\" } }",
        "must be an IPv6 address",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"@\", type = \"MX\", content = \"mx.example.net\" } }",
        "priority is for MX, which needs one",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"A\", content = \"203.0.113.7\", ttl = 5 } }",
        "ttl must be 1, for automatic, or 60 to 86400",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", type = \"TXT\", content = \"b\", proxied = true } }",
        "proxied is for A, AAAA and CNAME",
    ),
    (
        "data",
        PRODUCTION,
        "records = {}",
        "records = { a = { host = \"a\", typ = \"A\", content = \"203.0.113.7\" } }",
        "is no attribute of a record; those are host, type",
    ),
    ("data", PRODUCTION, "[\"ada@example.org\"]", "[]", ":4: access_emails must name at least one address"),
    ("data", PRODUCTION, "[\"ada@example.org\"]", "[\"ada\"]", "is no e-mail address"),
    (
        "data",
        PRODUCTION,
        "routes = {}",
        "routes = { a = { service = \"http://10.0.0.7:8080\" } }",
        "must be an address of the machine itself",
    ),
    (
        "data",
        PRODUCTION,
        "routes = {}",
        "routes = { a = { service = \"http://127.0.0.1:80\", publik = true } }",
        "is no attribute of a route; those are service and public",
    ),
    (
        "data",
        PRODUCTION,
        "routes = {}",
        "routes = { ssh = { service = \"http://127.0.0.1:80\" } }",
        "one host name for a route",
    ),
    (
        "data",
        PRODUCTION,
        "routes = {}",
        "routes = { shop = { service = \"http://127.0.0.1:80\" } }",
        "and infra/apps/shop.json: rename one",
    ),
    ("data", PRODUCTION, "routes = {}", "routes = {", "ends in the middle of a value"),
    ("data", PRODUCTION, "routes = {}", "routes = merge({}, {})", "not a plain value: merge"),
    (
        "data",
        PRODUCTION,
        "redirects = {}",
        "redirects = { www = \"www.example.org\" }",
        "leads to itself: name another host",
    ),
    ("data", PRODUCTION, "redirects = {}", "redirects = { www = \"https://app.example.org\" }", "without https://"),
    (
        "data",
        PRODUCTION,
        "",
        "acess_emails = [\"ada@example.org\"]\n",
        "is no variable of this root; its code declares access_emails",
    ),
    (
        "data",
        PRODUCTION,
        "account_id    = \"0123456789abcdef0123456789abcdef\"\n",
        "",
        "account_id is missing: this root needs a value",
    ),
    ("data", PRODUCTION, "fedcba98", "fedcba9", "must be 32 digits of 0-9 and a-f"),
    ("data", PRODUCTION, "", "zone = \"example.net\"\n", "zone stands there twice: keep one"),
    ("data", PRODUCTION, "\"example.org\"", "\"${var.zone}\"", "a file of values has no ${...}"),
    ("data", CONTROL, "acme/factory", "acme/factroy", "must be acme/factory, the path of this repository"),
    ("data", CONTROL, "", "approver_user_ids = [\"ada\"]\n", "must be the number of an account"),
    ("data", "infra/environments/prod/main.tf", "", "# copied\n", "unknown environment; there are staging, production"),
    ("data", SHOP, "\"staging\": {", "\"stagin\": {", "unknown environment stagin; there are staging, production"),
    ("data", "infra/apps/Shop.json", "", "{ \"environments\": {} }\n", "two applications of one name"),
    (
        "data",
        "infra/apps/staging-shop.json",
        "",
        "{ \"environments\": { \"production\": { \"tier\": \"production\", \"port\": 8200, \"public\": true } } }\n",
        "one host name for infra/apps/shop.json",
    ),
    (
        "data",
        "infra/apps/factory.json",
        "",
        "{ \"environments\": {} }\n",
        "is the name of this repository: choose another",
    ),
    (
        "data",
        "infra/apps/old/shop2.json",
        "",
        "{ \"environments\": {} }\n",
        "nothing reads it there; move it to infra/apps/",
    ),
    ("data", SHOP, "8101", "8100", "more than one environment has this port"),
    ("data", SHOP, "\"description\": \"The shop\",", "\"environments\": {},", "a key stands there twice: keep one"),
];

const RULES: &[Row] = &[
    (
        "data",
        POLICY,
        "\"delete\": false",
        "\"delete\": true",
        "allow.delete must stay false: name the one resource in exceptions",
    ),
    (
        "data",
        POLICY,
        "\"replace\": false,",
        "",
        "allow must say true or false for create, update, delete, replace and forget",
    ),
    (
        "data",
        POLICY,
        "\"exceptions\": []",
        "\"exceptions\": [{\"root\": \"production\", \"address\": \"a.b\", \"action\": \"delete\", \"until\": \"2020-01-01\"}]",
        "must have root, address, action, reason and until",
    ),
    (
        "data",
        POLICY,
        "\"exceptions\": []",
        "\"exceptions\": [{\"root\": \"production\", \"address\": \"module.edge.*\", \"action\": \"delete\", \"reason\": \"r\", \"until\": \"2020-01-01\"}]",
        "must be the address of one resource",
    ),
    (
        "data",
        POLICY,
        "\"exceptions\": []",
        "\"exceptions\": [{\"root\": \"production\", \"address\": \"a.b\", \"action\": \"delete\", \"reason\": \"r\", \"until\": \"9999-12-31\"}]",
        "until must be a day within a year",
    ),
    (
        "data",
        POLICY,
        "\"exceptions\": []",
        "\"exceptions\": [{\"root\": \"prod\", \"address\": \"a.b\", \"action\": \"delete\", \"reason\": \"r\", \"until\": \"2020-01-01\"}]",
        "no such root; there are control-plane, production, staging",
    ),
    (
        "data",
        POLICY,
        "\"exceptions\"",
        "\"exemptions\"",
        "exemptions is unknown; there are schema, allow and exceptions",
    ),
    ("data", KINDS, "\"must\": { \"config_src\"", "\"mist\": { \"config_src\"", "must have either must or ask"),
    (
        "data",
        KINDS,
        "\"config_src\": [\"cloudflare\"]",
        "\"config_src\": \"cloudflare\"",
        "must be { ATTRIBUTE: [VALUE, ...] }, each a value, { matches } or { least }",
    ),
    ("data", KINDS, "^[^@ ]+@[^@ ]+$", "^[^@ ]+@[^@ ", "cloudflare_zero_trust_access_policy[0].must must be"),
    (
        "data",
        KINDS,
        "\"gitlab_project_label\": [],",
        "",
        "no plan with the type gitlab_project_label is accepted: give it rules in infra/policy/resources.json",
    ),
    ("data", KINDS, "\"resources\"", "\"kinds\"", "kinds is unknown; there are schema and resources"),
    (
        "pipeline",
        CI,
        "infra@$CI_COMMIT_SHA",
        "infra@main",
        "infra of another commit would run: write infra@$CI_COMMIT_SHA",
    ),
    ("pipeline", CI, "nightly@", "nightlies@", "there is no templates/nightlies/template.yml"),
    ("pipeline", CI, "      tools: git", "      tool: git", "check has no input tool"),
    ("pipeline", CI, "      tier: staging\n", "", "infra needs the input tier"),
    (
        "pipeline",
        CI,
        "tier: staging",
        "tier: stage",
        "tier of infra must be one of production,staging,testing,development,other",
    ),
    (
        "pipeline",
        CI,
        "[validate, test, plan, apply,",
        "[validate, test, plan,",
        "the stage apply of infra is not in stages: add it",
    ),
    (
        "pipeline",
        CI,
        "root: staging",
        "root: stagging",
        "no job plans the root staging: include the component infra for it",
    ),
    (
        "pipeline",
        CI,
        "folder: infra/environments/production",
        "folder: infra/environments/staging",
        "the folder of production is another",
    ),
    (
        "pipeline",
        CI,
        "run: scripts/check validate",
        "run: 'true'",
        "no job runs scripts/check validate: include the component check with it",
    ),
    (
        "pipeline",
        CI,
        "  - component: $CI_SERVER_FQDN/$CI_PROJECT_PATH/evidence@$CI_COMMIT_SHA\n    inputs:\n      after: [validate, test]\n",
        "",
        "includes no evidence: add the component",
    ),
    ("pipeline", CI, "merge_request_event", "web", "starts no pipeline for merge requests"),
    ("pipeline", CI, "", "\nvalidate:\n  allow_failure: true\n", "changes validate, a job of a component"),
    ("pipeline", CI, "", "\n\"apply:production\":\n  when: always\n", "changes apply:production, a job of a component"),
    (
        "pipeline",
        CI,
        "",
        "\nmine:\n  tags: [trusted]\n  script: [\"true\"]\n",
        "runs on the trusted runner for every ref: add a rule",
    ),
    (
        "pipeline",
        CI,
        "include:\n",
        "include:\n  - remote: https://example.net/ci.yml\n",
        "nobody here reviews: copy it into templates/",
    ),
    ("formats", CI, "stages:", "stages: []\nstages:", "duplication of key"),
    ("settled", "templates/infra/template.yml", "when: manual", "when: on_success", "restore it from git"),
    ("settled", "scripts/plan-policy", "set -eu", "exit 0", "restore it from git"),
    ("settled", "scripts/checks/secrets", "GitLab token", "no token", "restore it from git"),
    ("secrets", "secrets/production/app.yaml", "", "password: hunter2\n", "not encrypted: make it with sops"),
    (
        "secrets",
        "secrets/production/app.yaml",
        "",
        "a: ENC[AES256_GCM,data:aa==,iv:aa==,tag:aa==,type:str]\npassword: hunter2\nsops:\n    mac: x\n",
        ":2: password is not encrypted: encrypt it",
    ),
    (
        "secrets",
        "notes.md",
        "",
        "Log in with `password = \"Tr0ub4dor&3xK9q\"`.\n",
        ":1: looks like a secret (password): take it out",
    ),
    ("recipients", "secrets/app.yaml", "", "a: b\n", "no rule is for it; put it into a folder"),
];

#[test]
fn every_wrong_edit_is_refused_with_its_file_and_a_remedy() {
    if !ready() {
        return;
    }
    let repo = ControlRepo::new("everything");
    repo.write(SHOP, APP);
    let list = passed(&repo.run(&["scripts/check", "--list"]));
    let checked = list.lines().find_map(|line| line.strip_prefix("validate: ")).unwrap();
    for check in ["data", "pipeline", "formats", "settled", "secrets", "recipients"] {
        assert!(checked.split(' ').any(|name| name == check), "CI does not run {check}: {list}");
        passed(&repo.run(&["scripts/check", check]));
    }
    let mut missed = Vec::new();
    for (check, file, from, to, words) in DATA.iter().chain(RULES) {
        let path = repo.path().join(file);
        let before = path.exists().then(|| repo.read(file));
        match (&before, *from) {
            (Some(text), "") => repo.write(file, &format!("{text}{to}")),
            (None, "") => repo.write(file, to),
            _ => repo.edit(file, from, to),
        }
        let output = repo.run(&["scripts/check", check]);
        let named = stdout(&output).lines().any(|line| line.contains(words) && line.contains(file));
        // yamllint names the file in a line before.
        let named = named || *check == "formats" && text(&output).contains(words) && text(&output).contains(file);
        if output.status.code() != Some(1) || !named {
            missed.push(format!("{file}: {from:?} to {to:?}: {}", text(&output)));
        }
        if let Some(text) = before {
            repo.write(file, &text);
        } else {
            fs::remove_file(&path).unwrap();
            // A folder that this made, too.
            let _ = fs::remove_dir(path.parent().unwrap());
        }
    }
    assert!(missed.is_empty(), "{} were missed:\n{}", missed.len(), missed.join("\n"));
    assert!(DATA.len() + RULES.len() >= 60);
    passed(&repo.run(&["scripts/check", "data", "pipeline", "settled", "secrets"]));
}

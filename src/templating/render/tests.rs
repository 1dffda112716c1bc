use std::borrow::Cow;

use super::*;

fn factory(more: &str) -> Factory {
    let text = format!(
        "schema = 1\n[factory]\nname = \"acme\"\ndescription = \"d\"\nowner_name = \"Ada\"\nowner_email = \"a@b.c\"\n\
         [gitlab]\ngroup = \"g\"\n{more}"
    );
    toml::from_str(&text).unwrap()
}

fn renderer(catalogue: &str, files: &[(&str, &'static [u8])]) -> TemplateResult<Renderer> {
    let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), Cow::Borrowed(*bytes))).collect();
    Ok(Renderer::new(Pack::new(&format!("version = \"1.0.0\"\n{catalogue}"), files)?))
}

/// One file `a` from this template.
fn one(template: &'static str) -> TemplateResult<String> {
    let row = "[[file]]\nid = \"a\"\npath = \"a\"\nclass = \"merge\"\n";
    let tree = renderer(row, &[("a", template.as_bytes())])?.render(&factory(""))?;
    Ok(String::from_utf8(tree.files[0].bytes.clone()).unwrap())
}

#[test]
fn nothing_is_escaped_and_one_line_ending_ends_the_file() {
    assert_eq!(one("{{ \"<&'\" }}").unwrap(), "<&'\n");
    assert_eq!(one("a\n\n\n").unwrap(), "a\n");
    assert_eq!(one("{% if host.enabled %}{% endif %}\n").unwrap(), "");
}

#[test]
fn free_text_is_quoted_for_yaml_and_json() {
    let text = one("{{ 'a \"b\" \\\\ c' | quoted }}").unwrap();
    assert_eq!(serde_json::from_str::<String>(&text).unwrap(), r#"a "b" \ c"#);
}

#[test]
fn what_is_missing_is_named_with_template_and_line() {
    for (template, said) in [("x\n{{ nobody }}\n", "nobody"), ("x\n{{ factory.nick }}\n", "nick")] {
        let text = one(template).unwrap_err().to_string();
        assert!(
            text.starts_with("cannot render the template a: ") && text.ends_with(" at line 2") && text.contains(said),
            "{text}"
        );
    }
}

#[test]
fn clock_chance_and_environment_are_out_of_reach() {
    for call in ["now()", "get_env(name=\"HOME\")", "get_random(end=3)", "\"x\" | date"] {
        let template: &str = Box::leak(format!("x\n{{{{ {call} }}}}\n").into_boxed_str());
        let text = one(template).unwrap_err().to_string();
        assert!(text.contains("Unknown") && text.contains("a:2:"), "{text}");
    }
}

#[test]
fn markers_and_control_characters_are_refused() {
    for template in ["<<<<<<< HEAD\n", "a\n>>>>>>> x\n", "|||||||\n", "a\r\n", "a\u{1b}[31m\n"] {
        assert!(matches!(one(template), Err(TemplateError::Rendered { .. })), "{template:?}");
    }
    assert!(one("Title\n=======\n<<<<<<<< eight\n").is_ok());
}

#[test]
fn links_modes_raw_files_and_environments() {
    let catalogue = r#"
[[file]]
id = "env"
path = "infra/ENVIRONMENT.tfvars"
template = "env"
class = "merge"
each = "environments"
[[file]]
id = "check"
path = "scripts/check"
class = "managed"
mode = "755"
[[file]]
id = "logo"
path = "logo.png"
class = "seeded"
raw = true
[[file]]
id = "skills"
path = ".claude/skills"
class = "managed"
link = "../.agents/skills"
[[file]]
id = "edge"
path = "edge"
class = "merge"
when = "cloudflare.enabled"
"#;
    let files: &[(&str, &[u8])] = &[
        ("env", b"{{ environment }}"),
        ("scripts/check", b"#!/bin/sh\n"),
        ("logo.png", b"\x89PNG\r\n{{"),
        ("edge", b"e"),
    ];
    let renderer = renderer(catalogue, files).unwrap();
    let tree = renderer.render(&factory("[environments]\nnames = [\"dev\", \"live\"]\n")).unwrap();
    let seen: Vec<_> = tree.files.iter().map(|f| (f.id.as_str(), f.path.as_str(), f.mode, f.kind)).collect();
    assert_eq!(
        seen,
        [
            ("skills", ".claude/skills", Mode::Link, ContentKind::Link),
            ("env/dev", "infra/dev.tfvars", Mode::File, ContentKind::Text),
            ("env/live", "infra/live.tfvars", Mode::File, ContentKind::Text),
            ("logo", "logo.png", Mode::File, ContentKind::Binary),
            ("check", "scripts/check", Mode::Executable, ContentKind::Text),
        ]
    );
    assert_eq!(tree.files[2].bytes, b"live\n");
    assert_eq!(tree.files[3].bytes, b"\x89PNG\r\n{{");
    let clash = renderer.render(&factory("[environments]\nnames = [\"dev\", \"DEV\"]\n")).unwrap_err();
    assert!(clash.to_string().contains("it conflicts with"), "{clash}");
    let escape = renderer.render(&factory("[environments]\nnames = [\"../../x\"]\n")).unwrap_err();
    assert!(matches!(escape, TemplateError::Rendered { .. }), "{escape}");
}

#[test]
fn a_block_needs_its_markers() {
    let row = "[[file]]\nid = \"a\"\npath = \"a\"\nclass = \"block\"\n";
    assert!(renderer(row, &[("a", b"x")]).unwrap().render(&factory("")).is_err());
    let tree =
        renderer(row, &[("a", b"# factoryup:begin\nx\n# factoryup:end\n")]).unwrap().render(&factory("")).unwrap();
    assert_eq!(tree.files[0].owned(), b"x\n");
}

#[test]
fn the_embedded_pack_renders_the_same_every_time() {
    for more in
        ["", "[cloudflare]\nenabled = true\nzone = \"e.org\"\n", "[agent]\nkind = \"codex\"\n[host]\nkind = \"none\"\n"]
    {
        let tree = render(&factory(more)).unwrap();
        let again = Renderer::new(Pack::embedded().unwrap()).render(&factory(more)).unwrap();
        assert_eq!(tree, again);
        assert!(tree.files.is_sorted_by(|a, b| a.path < b.path));
    }
}

/// Tera takes a missing name in a condition for `false`, so what templates name is compared with the context here.
#[test]
fn the_embedded_templates_name_only_what_the_context_has() {
    let pack = Pack::embedded().unwrap();
    let factory = factory("");
    let context = Context::new(&factory, "1.0.0").to_json();
    for name in pack.entries.iter().filter(|entry| !entry.raw && entry.link.is_none()).map(CatalogueRow::template) {
        for dotted in names(std::str::from_utf8(&pack.files[name]).unwrap()) {
            let mut parts = dotted.split('.');
            let root = parts.next().and_then(|root| context.get(root));
            if let (Some(section), Some(key)) = (root, parts.next()) {
                assert!(section.get(key).is_some(), "templates/{name} names {dotted}, which is not in the context");
            }
        }
    }
    assert_eq!(
        names("a.b {{ c.d }}{% if e.f and !g %}{% raw %}{{ x.y }}{% endraw %}"),
        ["c.d", "if", "e.f", "and", "g"]
    );
}

/// The dotted names in the expressions and statements of a template.
fn names(template: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = template;
    while let Some(start) = rest.find(['{']) {
        rest = &rest[start + 1..];
        let Some(close) = rest.chars().next().and_then(|c| match c {
            '{' => Some("}}"),
            '%' => Some("%}"),
            '#' => Some("#}"),
            _ => None,
        }) else {
            continue;
        };
        let end = rest.find(close).unwrap_or(rest.len());
        let inner = rest[1..end].trim_matches(['-', ' ']);
        if inner == "raw" {
            rest = rest.find("endraw").map_or("", |end| &rest[end..]);
            continue;
        }
        if close != "#}" {
            let quoted_out: String = inner.split('"').step_by(2).collect();
            let words = quoted_out.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
            names.extend(words.filter(|w| w.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned));
        }
        rest = &rest[end..];
    }
    names
}

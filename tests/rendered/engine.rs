//! The infrastructure code of every combination, read by a real Terraform: its format, and whether every root is valid.

use std::collections::BTreeMap;
use std::fs;

use factoryup::repo::tree::Tree;

use crate::combinations::PAIRWISE;
use crate::control_repo::{offline, passed, rendered, terraform, text};
use crate::corpus::CORPUS;
use crate::pipeline::RUN;

/// The files of the folders below `infra/` that hold these names, by folder.
fn folders<'a>(tree: &'a Tree, below: &[&str]) -> BTreeMap<&'a str, Vec<(&'a str, &'a [u8])>> {
    let mut folders: BTreeMap<&str, Vec<(&str, &[u8])>> = BTreeMap::new();
    for file in &tree.files {
        let Some((folder, name)) = file.path.rsplit_once('/') else { continue };
        let folder = folder.strip_suffix("/tests").unwrap_or(folder);
        // Validation reads no values.
        if below.iter().any(|prefix| folder.starts_with(prefix)) && !name.ends_with(".tfvars") {
            folders.entry(folder).or_default().push((name, &file.bytes));
        }
    }
    folders
}

#[test]
fn everything_is_in_the_standard_format() {
    if !terraform() {
        return;
    }
    passed(&offline(&["terraform", "fmt", "-check", "-diff", "-recursive", &CORPUS.path().to_string_lossy()]));
    // It does not look into OpenTofu's own files by itself.
    let mut checked = 0;
    for item in CORPUS.ending(&[".tofu"]) {
        let program = format!("terraform fmt -check -diff - <{}", item.place.display());
        passed(&offline(&["sh", "-euc", &program]));
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn every_root_that_answers_can_make_is_valid() {
    if !terraform() {
        return;
    }
    let top = tempfile::tempdir().unwrap();
    let mut seen = Vec::new();
    let mut roots = Vec::new();
    for (number, combination) in PAIRWISE.iter().enumerate() {
        for (folder, files) in folders(&combination.tree, &["infra/control-plane", "infra/environments/"]) {
            if seen.contains(&files) {
                continue;
            }
            seen.push(files);
            roots.push(format!("{number}/{folder}"));
            for file in combination.tree.files.iter().filter(|f| f.path.starts_with("infra/")) {
                let path = top.path().join(number.to_string()).join(&file.path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, &file.bytes).unwrap();
            }
        }
    }
    assert!(roots.len() > 15, "{roots:?}");
    let program = format!(
        "for root in {}; do cd {}/$root; echo $root; terraform init -backend=false >init.log || cat init.log; terraform validate; done",
        roots.join(" "),
        top.path().display()
    );
    let output = offline(&["sh", "-euc", &program]);
    let all = passed(&output);
    assert_eq!(all.matches("The configuration is valid.").count(), roots.len(), "{}", text(&output));
}

/// Their tests run in the merge request pipelines of the named answers: here it is shown that these hold every form of every module.
#[test]
fn every_module_that_answers_can_make_is_tested() {
    let trees: Vec<Tree> = RUN.iter().map(|name| rendered(name)).collect();
    let tested: Vec<_> = trees.iter().flat_map(|tree| folders(tree, &["infra/modules/"])).collect();
    for combination in PAIRWISE.iter() {
        for module in folders(&combination.tree, &["infra/modules/"]) {
            assert!(module.1.iter().any(|(name, _)| name.ends_with(".tftest.hcl")), "{} has no tests", module.0);
            assert!(tested.contains(&module), "{}: {} is tested nowhere", combination.name(), module.0);
        }
    }
}

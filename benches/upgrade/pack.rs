//! Templates of any number of files, in two versions and three languages that differ only in how a variable is written.

use std::fs;
use std::path::Path;

/// Whose templates: how they name the factory, and a condition that holds.
#[derive(Clone, Copy)]
pub struct Language {
    pub name: &'static str,
    pub condition: &'static str,
}

pub const OURS: Language = Language { name: "factory.name", condition: "environments.names" };
pub const COPIER: Language = Language { name: "name", condition: "name" };
pub const CRUFT: Language = Language { name: "cookiecutter.name", condition: "cookiecutter.name" };

/// Lines of a file: about 1.5 KiB.
const LINES: usize = 40;
/// The line that version 2 edits.
const THEIRS: usize = 5;
/// And the one that the user edits, far from it.
const MINE: usize = 30;

/// Where file `index` is: 20 to a folder.
pub fn path(index: usize) -> String {
    format!("part_{:04}/file_{index:05}.yml", index / 20)
}

/// The files of a version, by number: the last 2 % are new in version 2, and the 2 % before them are gone.
pub fn numbers(files: usize, version: u8) -> std::ops::Range<usize> {
    let few = files / 50;
    if version == 1 { 0..files } else { few..files + few }
}

/// Whether version 2 edits this file, and whether the user does: every tenth, and every twentieth, so that half of the user's are of
/// both kinds.
fn edited(index: usize) -> (bool, bool) {
    (index.is_multiple_of(10), index.is_multiple_of(40) || index % 40 == 21)
}

/// The template of a file.
pub fn template(index: usize, version: u8, language: Language) -> String {
    let Language { name, condition } = language;
    let mut text = format!("# File {index} of {{{{ {name} }}}}\n");
    for line in 1..LINES {
        let value = if version == 2 && line == THEIRS && edited(index).0 { "second" } else { "first" };
        text.push_str(&format!("key_{line}: {value} value number {index} of {{{{ {name} }}}}\n"));
        if line == LINES / 2 {
            text.push_str(&format!(
                "{{%- if {condition} %}}\nenabled: true\n{{%- else %}}\nenabled: false\n{{%- endif %}}\n"
            ));
        }
    }
    text
}

/// Makes the user's edits in a rendered tree.
pub fn edit(files: usize, tree: &Path) {
    for index in numbers(files, 2).filter(|index| edited(*index).1 && *index < files) {
        let path = tree.join(path(index));
        let text = fs::read_to_string(&path).unwrap();
        let key = format!("key_{MINE}: first");
        assert!(text.contains(&key), "{text}");
        fs::write(&path, text.replace(&key, &format!("key_{MINE}: my own"))).unwrap();
    }
}

/// Writes a version's templates below `folder`.
pub fn write(files: usize, version: u8, language: Language, ending: &str, folder: &Path) {
    for index in numbers(files, version) {
        let path = folder.join(path(index) + ending);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, template(index, version, language)).unwrap();
    }
}

/// Writes a version as a pack of factoryup's.
pub fn write_ours(files: usize, version: u8, folder: &Path) {
    write(files, version, OURS, "", &folder.join("templates"));
    // Beyond all versions that there are migrations for.
    let mut catalogue = format!("version = \"{}.0.0\"\n", 100 + version);
    for index in numbers(files, version) {
        catalogue
            .push_str(&format!("[[file]]\nid = \"file-{index}\"\npath = \"{}\"\nclass = \"merge\"\n", path(index)));
    }
    fs::write(folder.join("catalogue.toml"), catalogue).unwrap();
}

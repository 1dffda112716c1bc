//! References: each `var.`, `local.`, `module.` and attribute of a resource against what is declared.

use std::collections::BTreeMap;

use hcl_edit::expr::{Expression, Traversal, TraversalOperator};
use hcl_edit::structure::Block;
use hcl_edit::visit::{Visit, visit_expr, visit_for_expr, visit_traversal};

use super::{Folder, Schemas};

/// Follows references, with the names that `for` brings into scope.
pub(super) struct References<'a> {
    pub(super) folder: &'a Folder,
    pub(super) folders: &'a BTreeMap<String, Folder>,
    pub(super) schemas: &'a Schemas,
    pub(super) found: &'a mut Vec<String>,
    pub(super) scopes: Vec<String>,
}

impl Visit for References<'_> {
    fn visit_block(&mut self, node: &Block) {
        // OpenTofu's encryption has names of its own.
        if node.ident.as_str() != "encryption" {
            hcl_edit::visit::visit_block(self, node);
        }
    }

    fn visit_for_expr(&mut self, node: &hcl_edit::expr::ForExpr) {
        let before = self.scopes.len();
        self.scopes.extend(node.intro.key_var.iter().map(|name| name.as_str().to_owned()));
        self.scopes.push(node.intro.value_var.as_str().to_owned());
        visit_for_expr(self, node);
        self.scopes.truncate(before);
    }

    fn visit_expr(&mut self, node: &Expression) {
        if let Expression::Variable(name) = node {
            let name = name.as_str();
            // Types of variables and names of the language stand alone; everything else is a reference.
            let alone = ["string", "number", "bool", "any", "each", "count", "self", "path", "terraform"];
            if !self.scopes.iter().any(|scope| scope == name) && !alone.contains(&name) {
                self.found.push(format!("nothing is called {name}"));
            }
        }
        visit_expr(self, node);
    }

    fn visit_traversal(&mut self, node: &Traversal) {
        if self.reference(node) {
            for operator in &node.operators {
                self.visit_traversal_operator(operator);
            }
        } else {
            visit_traversal(self, node);
        }
    }
}

impl References<'_> {
    /// Whether it begins with a name that is declared in files; reports one that is not.
    fn reference(&mut self, node: &Traversal) -> bool {
        let Expression::Variable(root) = &node.expr else { return false };
        let root = root.as_str();
        if self.scopes.iter().any(|scope| scope == root) {
            return false;
        }
        let names: Vec<&str> = node
            .operators
            .iter()
            .filter_map(|o| if let TraversalOperator::GetAttr(name) = o.value() { Some(name.as_str()) } else { None })
            .collect();
        match (root, names.as_slice()) {
            ("var", [name, ..]) => self.expect(self.folder.variables.contains_key(*name), &format!("variable {name}")),
            ("local", [name, ..]) => {
                self.expect(self.folder.declared.contains(&format!("local.{name}")), &format!("local.{name}"));
            }
            ("module", [name, rest @ ..]) => {
                self.expect(self.folder.declared.contains(&format!("module.{name}")), &format!("module.{name}"));
                let source = self.folder.calls.get(*name).and_then(|source| source.rsplit('/').next());
                let module =
                    source.and_then(|s| self.folders.iter().find(|(p, _)| p.ends_with(&format!("/modules/{s}"))));
                if let (Some((_, module)), [output, ..]) = (module, rest) {
                    self.expect(module.outputs.contains(*output), &format!("output {output} of module {name}"));
                }
            }
            ("data", [of, name, rest @ ..]) => self.attribute("data", of, name, rest.first().copied()),
            (of, [name, rest @ ..]) if of.contains('_') => self.attribute("resource", of, name, rest.first().copied()),
            _ => return false,
        }
        true
    }

    fn attribute(&mut self, kind: &str, of: &str, name: &str, attribute: Option<&str>) {
        let prefix = if kind == "data" { "data." } else { "" };
        let address = format!("{prefix}{of}.{name}");
        self.expect(self.folder.declared.contains(&address), &address);
        if let (Some(facts), Some(attribute)) = (self.schemas.types.get(&(kind.to_owned(), of.to_owned())), attribute) {
            self.expect(facts.contains_key(attribute), &format!("{address}.{attribute}"));
        }
    }

    fn expect(&mut self, there: bool, what: &str) {
        if !there {
            self.found.push(format!("there is no {what}"));
        }
    }
}

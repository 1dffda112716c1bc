//! The commits that are pushed to see what GitLab makes of them.

use super::stage::{PIPELINE, Stage};
use crate::error::Error;
use crate::git;
use crate::gitlab::resources::seed::is_object_id;

impl Stage<'_> {
    /// A commit with the default branch's content: on top of it, or, as `beside`, in its place.
    pub(super) fn commit(&self, beside: bool) -> crate::Result<String> {
        let tree = self.git.line(&["rev-parse", "--verify", &format!("{}^{{tree}}", self.tip)])?;
        let parents = if beside {
            let line = self.git.line(&["rev-list", "--parents", "-n", "1", &self.tip])?;
            line.split(' ').skip(1).map(str::to_owned).collect()
        } else {
            vec![self.tip.clone()]
        };
        self.commit_tree(&tree, &parents, if beside { "rewrite" } else { "push" }, None)
    }

    /// A commit that adds or changes this file, with the pipeline's text as an executable; `committer` is the email that it names.
    pub(super) fn commit_file(&self, path: &str, parent: &str, committer: Option<&str>) -> crate::Result<String> {
        let blob = self.git.line(&["rev-parse", "--verify", &format!("{}:{PIPELINE}", self.tip)])?;
        self.git.line(&["read-tree", parent])?;
        self.git.line(&["update-index", "--add", "--cacheinfo", &format!("100755,{blob},{path}")])?;
        let tree = self.git.line(&["write-tree"])?;
        self.commit_tree(&tree, &[parent.to_owned()], path, committer)
    }

    /// A commit with this pipeline in place of the default branch's. It starts one wherever it is pushed.
    pub(super) fn commit_pipeline(&self, text: &str) -> crate::Result<String> {
        let blob = self.git.feed(&["hash-object", "-w", "--stdin"], text.as_bytes())?;
        let blob = String::from_utf8_lossy(&blob).trim().to_owned();
        self.git.line(&["read-tree", &self.tip])?;
        self.git.line(&["update-index", "--add", "--cacheinfo", &format!("100644,{blob},{PIPELINE}")])?;
        let tree = self.git.line(&["write-tree"])?;
        let message = format!(
            "Try what jobs get\n\nfactoryup made this commit to see what a job gets on a branch that is not protected, and removes it.\n\nAttempt: {}",
            self.branch
        );
        self.commit_message(&tree, std::slice::from_ref(&self.tip), None, &message)
    }

    fn commit_tree(
        &self,
        tree: &str,
        parents: &[String],
        what: &str,
        committer: Option<&str>,
    ) -> crate::Result<String> {
        // Like no other, made in the same second: a push of what is there already would count as let through.
        let message = format!(
            "Try what is forbidden [skip ci]\n\nThis commit changes nothing. factoryup made it to see that GitLab refuses it on protected \
             branches.\n\nAttempt: {}, {what}",
            self.branch
        );
        self.commit_message(tree, parents, committer, &message)
    }

    fn commit_message(
        &self,
        tree: &str,
        parents: &[String],
        committer: Option<&str>,
        message: &str,
    ) -> crate::Result<String> {
        let mut arguments = vec!["commit-tree", "-m", message];
        for parent in parents {
            arguments.extend(["-p", parent]);
        }
        arguments.push(tree);
        let username = &self.site.desired.agent.username;
        let email = format!("{username}@users.noreply.invalid");
        let mut command = self.git.command();
        for (variable, value) in [("NAME", username.as_str()), ("EMAIL", &email)] {
            command.env(format!("GIT_AUTHOR_{variable}"), value).env(format!("GIT_COMMITTER_{variable}"), value);
        }
        if let Some(email) = committer {
            command.env("GIT_COMMITTER_EMAIL", email);
        }
        let output = git::output(command.args(arguments), crate::budget::Budget::GIT)?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        if output.status.success() && is_object_id(&id) {
            return Ok(id);
        }
        let why = crate::dialog::plain(&String::from_utf8_lossy(&output.stderr));
        Err(Error::internal(format!("git commit-tree failed: {}", why.trim())))
    }
}

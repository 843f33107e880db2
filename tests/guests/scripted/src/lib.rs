//! scripted: does in each stage what its data say. For tests of the lifecycle and of limits.

use task_sdk::prelude::*;

choices! {
    /// What to do in a stage.
    pub enum Act {
        /// Go on.
        Succeed = "succeed",
        /// Answer no (in the check of the output: report a flaw).
        Refuse = "refuse",
        /// Fail.
        Fail = "fail",
        /// Panic.
        Panic = "panic",
        /// Compute without end.
        Loop = "loop",
        /// Take memory without end.
        Hoard = "hoard",
        /// Call itself without end.
        Recurse = "recurse",
        /// Write a log.
        Log = "log",
        /// Run `command` on the host, logged.
        Command = "command",
        /// The same, then have the host compute the checksum of the file `big`.
        Digest = "digest",
    }
}

model! {
    /// What to do.
    pub struct ScriptedData {
        pub task: ..TaskFields,
        /// When downloading inputs.
        pub fetch_input: Act = Act::Succeed,
        /// When configuring.
        pub configure: Act = Act::Succeed,
        /// When preparing.
        pub prepare: Act = Act::Succeed,
        /// When running.
        pub run: Act = Act::Succeed,
        /// When checking the output.
        pub check: Act = Act::Succeed,
        /// When uploading.
        pub upload: Act = Act::Succeed,
        /// When cleaning up.
        pub cleanup: Act = Act::Succeed,
        /// When asked for the label.
        pub label: Act = Act::Succeed,
        /// The command of `command`.
        pub command: Vec<String> = Vec::new(),
        /// Artifacts to fetch.
        pub artifacts: Vec<i64> = Vec::new(),
        /// Files of the working directory to upload, as one artifact that relates to all that were fetched.
        pub results: Vec<String> = Vec::new(),
        /// Names to open beneath the working directory.
        pub open: Vec<String> = Vec::new(),
    }
}

/// A task that does what it is told.
pub struct Scripted {
    core: Core<Self>,
    /// For the clean-up, which is lent none.
    kept: Option<Directory>,
}

register_task!(Scripted as ExternalTask);

impl Task for Scripted {
    const NAME: &'static str = "scripted";
    const SUMMARY: &'static str = "Do in each stage what the data say";

    type Data = ScriptedData;
    type DynamicData = DynamicFields;

    fn new(core: Core<Self>) -> Self {
        Self { core, kept: None }
    }

    fn core(&self) -> &Core<Self> {
        &self.core
    }

    fn core_mut(&mut self) -> &mut Core<Self> {
        &mut self.core
    }

    fn label(&self) -> String {
        let acted = plain(self.core.data.label);
        format!("scripted {acted:?}")
    }

    fn compute_dynamic_data(
        &self,
        _database: &TaskDatabase,
    ) -> Result<DynamicFields, DynamicDataError> {
        Ok(DynamicFields::default())
    }

    fn source_artifacts_ids(&self) -> Option<Vec<i64>> {
        None
    }
}

impl ExternalTask for Scripted {
    fn fetch_input(&mut self, workspace: &Workspace) -> Result<bool> {
        for id in &self.core.data.artifacts {
            Artifact::fetch(*id, &workspace.download)?;
        }
        if matches!(self.core.data.cleanup, Act::Command | Act::Digest) {
            self.kept = Some(workspace.execute.create_directory("kept")?);
        }
        self.act(self.core.data.fetch_input, &workspace.execute)
    }

    fn configure_for_execution(&mut self, workspace: &Workspace) -> Result<bool> {
        self.act(self.core.data.configure, &workspace.execute)
    }

    fn prepare_to_run(&mut self, workspace: &Workspace) -> Result<()> {
        self.act(self.core.data.prepare, &workspace.execute)
            .map(drop)
    }

    fn run(&mut self, workspace: &Workspace) -> Result<bool> {
        for name in &self.core.data.open {
            workspace.execute.open(name)?;
        }
        self.act(self.core.data.run, &workspace.execute)
    }

    fn check_directory_for_consistency_errors(
        &mut self,
        workspace: &Workspace,
    ) -> Result<Vec<String>> {
        let fits = self.act(self.core.data.check, &workspace.execute)?;
        Ok(if fits {
            Vec::new()
        } else {
            vec!["b is wrong".into(), "a is wrong".into()]
        })
    }

    fn upload_artifacts(&mut self, workspace: &Workspace, _execution_success: bool) -> Result<()> {
        if !self.core.data.results.is_empty() {
            self.upload_results(workspace)?;
        }
        self.act(self.core.data.upload, &workspace.execute)
            .map(drop)
    }

    fn cleanup(&mut self) -> Result<()> {
        let act = self.core.data.cleanup;
        match &self.kept {
            Some(kept) => self.act(act, kept).map(drop),
            None => plain(act).map(drop),
        }
    }
}

impl Scripted {
    fn upload_results(&self, workspace: &Workspace) -> Result<()> {
        let files = self.core.data.results.iter();
        let draft = Draft {
            category: Category::Test,
            data: json!({}),
            files: files.map(|name| DraftFile::by_name(name)).collect(),
        };
        let made = upload(draft, &workspace.execute)?;
        for id in &self.core.data.artifacts {
            relate(made, *id, RelationType::RelatesTo)?;
        }
        Ok(())
    }

    fn act(&self, act: Act, directory: &Directory) -> Result<bool> {
        if !matches!(act, Act::Command | Act::Digest) {
            return plain(act);
        }
        let command =
            Command::new(self.core.data.command.iter().cloned()).output(Output::CommandLog);
        let succeeded = command.run_on_host(directory)?.succeeded();
        if act == Act::Digest {
            directory.digest("big", DigestAlgorithm::Sha256)?;
        }
        Ok(succeeded)
    }
}

/// What needs no directory.
fn plain(act: Act) -> Result<bool> {
    match act {
        Act::Succeed | Act::Command | Act::Digest => Ok(true),
        Act::Refuse => Ok(false),
        Act::Fail => Err(Failure::new("told-to-fail", "as the data say")),
        Act::Panic => panic!("told to panic"),
        Act::Loop => loop {
            std::hint::black_box(0);
        },
        Act::Hoard => {
            let mut hoard = Vec::new();
            loop {
                hoard.push(std::hint::black_box(vec![1_u8; 1 << 20]));
            }
        }
        Act::Recurse => Ok(deeper(1) > 0),
        Act::Log => append_to_log("scripted.log", "written\n").map(|()| true),
    }
}

#[allow(unconditional_recursion, reason = "that is what it is for")]
fn deeper(depth: u64) -> u64 {
    std::hint::black_box(deeper(depth + 1)) + depth
}

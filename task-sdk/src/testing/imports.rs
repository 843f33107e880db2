//! The imports of a component, answered by the scripted [`World`](super::World) of the thread. Same names and types as the bindings.

use crate::bindings::debusine::task::types::Failure;

pub(crate) mod files;

fn failure(kind: &str, message: impl ToString) -> Failure {
    Failure {
        kind: kind.to_owned(),
        message: message.to_string(),
    }
}

pub(crate) mod abort {
    pub(crate) fn is_aborted() -> bool {
        false
    }
}

pub(crate) mod host_facts {
    use crate::testing::World;

    pub(crate) fn command_available(name: &str) -> bool {
        World::with(|world| world.programs.iter().any(|program| program == name))
    }

    pub(crate) fn environment_variable(name: &str) -> Option<String> {
        World::with(|world| world.environment.get(name).cloned())
    }

    pub(crate) fn has_resolv_conf() -> bool {
        true
    }
}

pub(crate) mod logs {
    use super::{Failure, files::Directory};
    use crate::testing::World;

    pub(crate) fn append(name: &str, text: &str) -> Result<(), Failure> {
        World::with(|world| {
            world
                .logs
                .entry(name.to_owned())
                .or_default()
                .push_str(text)
        });
        Ok(())
    }

    pub(crate) fn copy(name: &str, from: &Directory, source: &str) -> Result<(), Failure> {
        append(name, &String::from_utf8_lossy(&from.content(source)?))
    }
}

pub(crate) mod http {
    use super::{Failure, failure, files::Directory};
    use crate::testing::World;

    pub(crate) fn fetch(
        url: &str,
        into: &Directory,
        target: &str,
        at_most: u64,
    ) -> Result<(), Failure> {
        let content = World::with(|world| world.urls.get(url).cloned())
            .ok_or_else(|| failure("download", format!("{url}: no such URL in this world")))?;
        if content.len() as u64 > at_most {
            return Err(failure(
                "download",
                format!("{url}: more than {at_most} bytes"),
            ));
        }
        into.put(target, &content)
    }
}

pub(crate) mod task_database {
    use crate::bindings::debusine::task::task_database::{Artifact, LookupError};
    use crate::exchange::RelationType;
    use crate::testing::World;
    use serde_json::Value;
    use std::cell::RefCell;

    pub(crate) struct Artifacts(RefCell<Vec<Artifact>>);

    impl Artifacts {
        pub(crate) fn next(&self, _: u32) -> Vec<Artifact> {
            self.0.take()
        }
    }

    fn found(lookup: &str) -> Result<Vec<Artifact>, LookupError> {
        let wanted: Value = serde_json::from_str(lookup).expect("the SDK asks in JSON");
        World::with(|world| {
            let ids = match world.lookups.iter().find(|(known, _)| *known == wanted) {
                Some((_, ids)) => ids.clone(),
                None => wanted.as_u64().into_iter().collect(),
            };
            let described = |id: u64| {
                let artifact = world.artifacts.get(&id)?;
                Some(Artifact {
                    id,
                    category: artifact.category.clone(),
                    data: artifact.data.to_string(),
                })
            };
            let artifacts: Option<Vec<_>> = ids.into_iter().map(described).collect();
            artifacts
                .filter(|artifacts| !artifacts.is_empty())
                .ok_or_else(|| LookupError::NotFound(format!("{lookup}: nothing in this world")))
        })
    }

    pub(crate) fn lookup_single(lookup: &str, _: Option<&str>) -> Result<Artifact, LookupError> {
        Ok(found(lookup)?.remove(0))
    }

    pub(crate) fn lookup_multiple(lookup: &str, _: Option<&str>) -> Result<Artifacts, LookupError> {
        Ok(Artifacts(RefCell::new(found(lookup)?)))
    }

    pub(crate) fn related(
        targets: &[u64],
        category: &str,
        kind: RelationType,
    ) -> Result<Artifacts, LookupError> {
        let matching = World::with(|world| {
            let is_related = |id: u64| {
                world.all_relations().any(|(from, to, known)| {
                    *from as u64 == id && targets.contains(&(*to as u64)) && *known == kind
                })
            };
            let artifacts = world.artifacts.iter();
            let related =
                artifacts.filter(|(id, found)| found.category == category && is_related(**id));
            related
                .map(|(id, found)| Artifact {
                    id: *id,
                    category: found.category.clone(),
                    data: found.data.to_string(),
                })
                .collect()
        });
        Ok(Artifacts(RefCell::new(matching)))
    }

    pub(crate) fn setting(name: &str) -> Result<Option<String>, LookupError> {
        Ok(World::with(|world| world.settings.get(name).cloned()))
    }
}

pub(crate) mod artifacts {
    use super::{Failure, failure, files::Directory};
    use crate::bindings::debusine::task::artifacts::{
        Artifact, ArtifactFile, NewArtifact, Relation,
    };
    use crate::testing::{UploadedArtifact, World};
    use sha2::{Digest, Sha256};

    pub(crate) fn get(id: u64) -> Result<Artifact, Failure> {
        World::with(|world| {
            let found = world
                .artifacts
                .get(&id)
                .ok_or_else(|| failure("not-found", format!("artifact {id}: not in this world")))?;
            let files = found.files.iter().map(|(path, content)| ArtifactFile {
                path: path.clone(),
                size: content.len() as u64,
                sha256: super::files::hex(&Sha256::digest(content)),
                url: None,
            });
            Ok(Artifact {
                id,
                category: found.category.clone(),
                data: found.data.to_string(),
                files: files.collect(),
            })
        })
    }

    pub(crate) fn fetch(id: u64, into: &Directory) -> Result<Artifact, Failure> {
        let artifact = get(id)?;
        let files = World::with(|world| {
            world.fetched.push(id);
            world.artifacts[&id].files.clone()
        });
        for (path, content) in files {
            into.put(&path, &content)?;
        }
        Ok(artifact)
    }

    pub(crate) fn fetched() -> Vec<u64> {
        World::with(|world| world.fetched.clone())
    }

    pub(crate) fn upload(new: &NewArtifact, directory: &Directory) -> Result<u64, Failure> {
        let content = |file: &crate::bindings::debusine::task::artifacts::NewFile| {
            Ok((file.path.clone(), directory.content(&file.source)?))
        };
        let files = new
            .files
            .iter()
            .map(content)
            .collect::<Result<_, Failure>>()?;
        let data = serde_json::from_str(&new.data).expect("the SDK writes JSON");
        World::with(|world| {
            let id = 1001 + world.uploads.len() as i64;
            world.uploads.push(UploadedArtifact {
                id,
                category: new.category.clone(),
                data,
                files,
            });
            Ok(id as u64)
        })
    }

    pub(crate) fn relate(relation: Relation) -> Result<(), Failure> {
        let Relation { from, to, type_ } = relation;
        World::with(|world| world.relations.push((from as i64, to as i64, type_)));
        Ok(())
    }

    pub(crate) fn relations_from(id: u64) -> Result<Vec<Relation>, Failure> {
        let matching = World::with(|world| {
            world
                .all_relations()
                .filter(|(from, ..)| *from as u64 == id)
                .map(|(from, to, kind)| Relation {
                    from: *from as u64,
                    to: *to as u64,
                    type_: *kind,
                })
                .collect()
        });
        Ok(matching)
    }
}

pub(crate) mod commands {
    use super::{Failure, files::Directory};
    use crate::bindings::debusine::task::commands::{Command, Exit, Outcome, Output};
    use crate::testing::{RanCommand, World};

    pub(crate) fn run_on_host(command: &Command, files: &Directory) -> Result<Outcome, Failure> {
        run(command, files, false)
    }

    pub(super) fn run(
        command: &Command,
        files: &Directory,
        in_instance: bool,
    ) -> Result<Outcome, Failure> {
        let line = command.arguments.join(" ");
        let ended = World::with(|world| {
            world.ran.push(RanCommand {
                arguments: command.arguments.clone(),
                as_root: command.as_root,
                in_instance,
            });
            let rule = world
                .script
                .iter()
                .find(|(pattern, _)| line.contains(pattern.as_str()));
            rule.map(|(_, ended)| ended.clone()).unwrap_or_default()
        });
        for (name, content) in &ended.files {
            files.put(name, content)?;
        }
        let mut outcome = Outcome {
            exit: Exit::Exited(ended.status),
            output: Vec::new(),
        };
        let stdout = match &command.input {
            Some(input) if ended.passes_input => files.content(input)?,
            _ => ended.stdout.into_bytes(),
        };
        let log = |name| super::logs::append(name, &String::from_utf8_lossy(&stdout));
        match &command.output {
            Output::CommandLog => log("cmd-output.log")?,
            Output::Log(name) => log(name)?,
            Output::Capture(name) | Output::File(name) => files.put(name, &stdout)?,
            Output::Return(_) => outcome.output = stdout,
            Output::Discard => {}
        }
        Ok(outcome)
    }
}

pub(crate) mod executor {
    use super::{Failure, artifacts, commands, files::Directory};
    use crate::bindings::debusine::task::commands::{Command, Outcome};
    use crate::bindings::debusine::task::executor::{Backend, Image};

    pub(crate) struct Executor(Image);

    /// Inside and outside are one file system in this world: what is pushed or made is there already.
    pub(crate) struct Instance;

    pub(crate) fn prepare(_: Backend, environment: u64) -> Result<Executor, Failure> {
        let artifact = artifacts::get(environment)?;
        let name = format!("/images/{environment}");
        Ok(Executor(Image {
            id: environment,
            category: artifact.category,
            data: artifact.data,
            name,
            virt_server: "unshare".to_owned(),
            virt_server_arguments: Vec::new(),
        }))
    }

    impl Executor {
        pub(crate) fn image(&self) -> Image {
            self.0.clone()
        }

        pub(crate) fn start(&self) -> Result<Instance, Failure> {
            Ok(Instance)
        }
    }

    impl Instance {
        pub(crate) fn run(&self, command: &Command, files: &Directory) -> Result<Outcome, Failure> {
            commands::run(command, files, true)
        }

        pub(crate) fn create_user(&self) -> Result<(), Failure> {
            Ok(())
        }

        pub(crate) fn push_directory(&self, _: &Directory) -> Result<(), Failure> {
            Ok(())
        }

        pub(crate) fn create_directory(&self, _: &Directory, _: u32) -> Result<(), Failure> {
            Ok(())
        }

        pub(crate) fn push_file(
            &self,
            from: &Directory,
            source: &str,
            target: &str,
            _: u32,
        ) -> Result<(), Failure> {
            std::fs::write(target, from.content(source)?)
                .map_err(|error| super::failure("file", error))
        }

        pub(crate) fn pull_file(
            &self,
            source: &str,
            into: &Directory,
            target: &str,
        ) -> Result<(), Failure> {
            let content = std::fs::read(source).map_err(|error| super::failure("file", error))?;
            into.put(target, &content)
        }

        pub(crate) fn stop(&self) -> Result<(), Failure> {
            Ok(())
        }
    }
}

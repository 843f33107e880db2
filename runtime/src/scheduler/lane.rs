//! What one processor works with: instances of components, in which the workers are parsed.

use super::{Answer, Farm, Loaded, Question, Refusal, Row};
use crate::component::Limits;
use crate::host::{CallError, Facts, HostState, TaskComponent, TaskInstance};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use wasmtime::component::ResourceAny;

/// The most classes of workers in one instance, so that their metadata fit in its memory.
const BLOCK: usize = 4096;

/// How many more instances than blocks there may be before workers that came one by one are parsed anew together.
const FRAGMENTS: usize = 8;

/// A question, and what is known of its answer.
pub struct Job {
    pub question: Arc<Question>,
    loaded: Arc<Loaded>,
    known: Option<Arc<Row>>,
}

impl Job {
    /// A question for this component, with the answers for the classes that were there before.
    pub fn new(question: Arc<Question>, loaded: Arc<Loaded>, known: Option<Arc<Row>>) -> Self {
        Self {
            question,
            loaded,
            known,
        }
    }
}

/// The instances of one processor.
pub struct Lane {
    limits: Limits,
    facts: Arc<dyn Facts>,
    blocks: HashMap<Arc<str>, Vec<Block>>,
}

/// An instance that holds some classes of workers.
struct Block {
    classes: Range<usize>,
    instance: TaskInstance,
    workers: ResourceAny,
}

impl Lane {
    /// A lane without instances.
    pub fn new(limits: Limits, facts: Arc<dyn Facts>) -> Self {
        Self {
            limits,
            facts,
            blocks: HashMap::new(),
        }
    }

    /// Drops all instances.
    pub fn forget(&mut self) {
        self.blocks.clear();
    }

    /// Answers the jobs at these places: the places, and the answers.
    pub fn work(
        &mut self,
        jobs: &[Job],
        farm: &Farm,
        turns: impl Iterator<Item = usize>,
    ) -> Vec<(usize, Answer)> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("the system can make an asynchronous runtime");
        runtime.block_on(async {
            let mut answers = Vec::new();
            for place in turns {
                answers.push((place, self.answer(&jobs[place], farm).await));
            }
            answers
        })
    }

    async fn answer(&mut self, job: &Job, farm: &Farm) -> Answer {
        let kept = self.blocks.contains_key(&job.question.digest);
        let answer = self.ask(job, farm).await;
        let Err(Refusal::Call(_)) = &answer else {
            return answer;
        };
        // The instance has ended. It may have been worn out by tasks before this one; a fresh one tells.
        self.blocks.remove(&job.question.digest);
        match kept {
            true => self.ask(job, farm).await.inspect_err(|_| {
                self.blocks.remove(&job.question.digest);
            }),
            false => answer,
        }
    }

    async fn ask(&mut self, job: &Job, farm: &Farm) -> Answer {
        let called = |error: CallError| Refusal::Call(Arc::new(error));
        let mut row = job.known.as_deref().cloned().unwrap_or_default();
        let known = row.classes();
        let question = &job.question;
        let blocks = self.prepared(job, farm).await.map_err(called)?;
        for block in blocks.iter_mut().filter(|it| it.classes.end > known) {
            let configured = block
                .instance
                .configure_json(&question.data, question.dynamic_data.as_ref(), None)
                .await
                .map_err(called)?;
            configured.map_err(|error| Refusal::Configuration {
                task: job.loaded.component.name().to_owned(),
                error: Arc::new(error),
            })?;
            let answers = block.instance.can_run_on_each(block.workers).await;
            row.set(
                block.classes.start,
                block.classes.len(),
                &answers.map_err(called)?,
            );
        }
        Ok(Arc::new(row))
    }

    /// Instances that hold all workers. There is one even for a farm without workers: the data are checked in any case.
    async fn prepared(&mut self, job: &Job, farm: &Farm) -> Result<&mut Vec<Block>, CallError> {
        let classes = farm.classes();
        let blocks = self
            .blocks
            .entry(Arc::clone(&job.question.digest))
            .or_default();
        let held = blocks.last().map_or(0, |block| block.classes.end);
        if held < classes.len() || blocks.is_empty() {
            if blocks.len() > classes.len() / BLOCK + FRAGMENTS || held == 0 {
                blocks.clear();
            }
            let mut start = blocks.last().map_or(0, |block| block.classes.end);
            loop {
                let range = start..classes.len().min(start + BLOCK);
                let state = HostState::new(
                    job.loaded.component.engine(),
                    &self.limits,
                    Arc::clone(&self.facts),
                );
                blocks
                    .push(Block::new(&job.loaded.component, state, classes, range.clone()).await?);
                start = range.end;
                if start >= classes.len() {
                    break;
                }
            }
        }
        Ok(blocks)
    }
}

impl Block {
    async fn new(
        component: &TaskComponent,
        state: HostState,
        classes: &[String],
        range: Range<usize>,
    ) -> Result<Self, CallError> {
        let mut instance = component.instantiate(state).await?;
        let workers = instance.prepare_workers(&classes[range.clone()]).await?;
        Ok(Self {
            classes: range,
            instance,
            workers,
        })
    }
}

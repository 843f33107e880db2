//! Matching tasks with workers: who can run what, for many of both.
//!
//! The questions are pure: same component, same task data, same metadata, same answer. So workers with equal metadata are one class, tasks
//! with equal data are one question, and each answer is computed once: a task costs one row of classes, a new worker one column. Every
//! processor has instances of its own, in which workers are parsed once.

mod farm;
mod lane;
mod row;
mod turns;

pub use farm::Farm;
pub use row::Row;

use crate::component::{Limits, Registry, RegistryError};
use crate::host::{CallError, Facts, Linkers, Purpose, TaskComponent, TaskConfigError};
use farm::Shares;
use lane::{Job, Lane};
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use turns::Turns;

/// Newcomers that are not worth a thread.
const FEW: usize = 64;

/// How many answers are remembered before all are forgotten.
const REMEMBERED: usize = 100_000;

/// A task with its data, as a scheduler has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Task {
    /// Its name.
    pub name: String,
    /// The task data: JSON.
    pub data: String,
    /// The dynamic data, if they are known: JSON.
    pub dynamic_data: Option<String>,
}

/// Why there is no answer for a task.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// The task is not there, or its component cannot be used.
    #[error("{0}")]
    Registry(Arc<RegistryError>),
    /// The data break the task's rules.
    #[error("task {task}: its data are refused")]
    Configuration {
        /// Its name.
        task: String,
        /// The rules that they break.
        error: Arc<TaskConfigError>,
    },
    /// The component did not answer.
    #[error("{0}")]
    Call(Arc<CallError>),
}

/// Answers which workers can run which tasks.
pub struct Scheduler {
    registry: Registry,
    linkers: Arc<Linkers>,
    farm: Farm,
    /// Workers that came since the last question.
    newcomers: Vec<Map<String, Value>>,
    components: HashMap<String, Arc<Loaded>>,
    answers: HashMap<Arc<Question>, Answer>,
    lanes: Vec<Lane>,
}

/// A component, and which one it is.
struct Loaded {
    digest: Arc<str>,
    component: TaskComponent,
}

/// A question, and the component that answers it.
type Asked = (Arc<Question>, Arc<Loaded>);

/// What an answer depends on besides the workers.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Question {
    /// Of all the rest. Questions are looked up several times, and their data are long.
    hash: u64,
    digest: Arc<str>,
    data: String,
    dynamic_data: Option<String>,
}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

/// Which workers can run a task, or why nobody knows.
pub type Answer = Result<Arc<Row>, Refusal>;

impl Scheduler {
    /// A scheduler without workers, which computes on so many processors.
    pub fn new(
        registry: Registry,
        linkers: Arc<Linkers>,
        facts: Arc<dyn Facts>,
        processors: usize,
    ) -> Self {
        let options = registry.engine().options();
        let limits = Limits {
            // Metadata of thousands of workers are held parsed.
            memory: options.scheduling.memory.max(options.execution.memory),
            ..options.scheduling
        };
        let lane = || Lane::new(limits, Arc::clone(&facts));
        Self {
            registry,
            linkers,
            farm: Farm::default(),
            newcomers: Vec::new(),
            components: HashMap::new(),
            answers: HashMap::new(),
            lanes: (0..processors.max(1)).map(|_| lane()).collect(),
        }
    }

    /// Adds a worker; its number follows the last one's.
    pub fn add_worker(&mut self, metadata: Map<String, Value>) -> usize {
        self.newcomers.push(metadata);
        self.farm.workers().len() + self.newcomers.len() - 1
    }

    /// The workers that were there at the last question.
    pub fn farm(&self) -> &Farm {
        &self.farm
    }

    /// Looks for new, replaced and removed components. Answers of those that stay the same stay valid.
    pub fn rescan(&mut self) -> Result<(), RegistryError> {
        if !self.registry.rescan()? {
            return Ok(());
        }
        self.components.clear();
        for lane in &mut self.lanes {
            lane.forget();
        }
        Ok(())
    }

    /// Which workers can run each of these tasks. It computes on threads of its own, and returns when all are answered.
    pub fn ask(&mut self, tasks: &[Task]) -> Vec<Answer> {
        if self.answers.len() > REMEMBERED {
            self.answers.clear();
        }
        let questions = self.welcome_newcomers_beside(|scheduler| {
            let questions = tasks.iter().map(|task| scheduler.question(task));
            questions.collect::<Vec<_>>()
        });
        let mut jobs = HashMap::new();
        for (question, loaded) in questions.iter().flatten() {
            let known = match self.answers.get(question) {
                None => None,
                Some(Ok(row)) if row.classes() < self.farm.classes().len() => Some(Arc::clone(row)),
                Some(_) => continue,
            };
            jobs.entry(question)
                .or_insert_with(|| Job::new(Arc::clone(question), Arc::clone(loaded), known));
        }
        let mut jobs: Vec<Job> = jobs.into_values().collect();
        jobs.sort_by(|one, other| one.question.digest.cmp(&other.question.digest));
        for (job, answer) in self.work(&jobs) {
            self.answers.insert(Arc::clone(&jobs[job].question), answer);
        }
        let answered = questions.iter().map(|question| match question {
            Ok((question, _)) => self.answers[question].clone(),
            Err(refusal) => Err(refusal.clone()),
        });
        let answered = answered.collect();
        // A limit on time may be reached today and not tomorrow: only what is pure is remembered.
        for job in &jobs {
            if let Some(Err(Refusal::Call(_))) = self.answers.get(&job.question) {
                self.answers.remove(&job.question);
            }
        }
        answered
    }

    /// Takes the newcomers into the farm, beside something else that is to be done. What each of them says is put into its normal form on
    /// all processors.
    fn welcome_newcomers_beside<T>(&mut self, other: impl FnOnce(&mut Self) -> T) -> T {
        let newcomers = std::mem::take(&mut self.newcomers);
        let helpers = (self.lanes.len() - 1).min(newcomers.len() / FEW);
        let shares = Shares::of(newcomers);
        std::thread::scope(|scope| {
            let helping: Vec<_> = (0..helpers)
                .map(|_| scope.spawn(|| shares.normalise()))
                .collect();
            let done = other(self);
            let mut normalised = shares.normalise();
            for helper in helping {
                normalised.extend(joined(helper.join()));
            }
            normalised.sort_unstable_by_key(|(place, _)| *place);
            for (_, some) in normalised {
                self.farm.extend(some);
            }
            done
        })
    }

    fn question(&mut self, task: &Task) -> Result<Asked, Refusal> {
        let name = task.name.to_lowercase();
        let loaded = match self.components.get(&name) {
            Some(loaded) => Arc::clone(loaded),
            None => {
                let loaded = Arc::new(self.load(&name)?);
                self.components.insert(name, Arc::clone(&loaded));
                loaded
            }
        };
        let question = Question {
            hash: self
                .answers
                .hasher()
                .hash_one((&loaded.digest, &task.data, &task.dynamic_data)),
            digest: Arc::clone(&loaded.digest),
            data: task.data.clone(),
            dynamic_data: task.dynamic_data.clone(),
        };
        Ok((Arc::new(question), loaded))
    }

    fn load(&self, name: &str) -> Result<Loaded, Refusal> {
        let found = self.registry.load(name);
        let found = found.map_err(|error| Refusal::Registry(Arc::new(error)))?;
        let engine = self.registry.engine();
        let component = TaskComponent::new(engine, &self.linkers, &found, Purpose::Scheduling);
        Ok(Loaded {
            digest: found.digest.into(),
            component: component.map_err(|error| Refusal::Call(Arc::new(error)))?,
        })
    }

    /// Spreads jobs over the lanes: places of jobs, and their answers. Jobs of one component are neighbours, so that most lanes have
    /// instances of a few components only.
    fn work(&mut self, jobs: &[Job]) -> Vec<(usize, Answer)> {
        let farm = &self.farm;
        let wanted = self.lanes.len().min(jobs.len());
        let turns = Turns::new(jobs.len(), wanted, worth_a_change(farm.classes().len()));
        let turns = &turns;
        std::thread::scope(|scope| {
            let lanes = self.lanes[..wanted].iter_mut().enumerate();
            let running: Vec<_> = lanes
                .map(|(number, lane)| scope.spawn(move || lane.work(jobs, farm, turns.of(number))))
                .collect();
            let done = running.into_iter().map(|lane| joined(lane.join()));
            done.flatten().collect()
        })
    }
}

/// What a thread came to; its panic goes on here.
fn joined<T>(ended: std::thread::Result<T>) -> T {
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// How many jobs must be left for it to be worth that another lane has an instance parse the workers, given how many classes these are.
///
/// Measured: 4 µs to parse a worker; 5 µs to configure a task, and 0.02 µs for each class that it is asked about.
fn worth_a_change(classes: usize) -> usize {
    200 * classes / (250 + classes)
}

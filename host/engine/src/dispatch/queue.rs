//! The queue: trees that wait for a place, and which of them is next.
//!
//! Trees of one tenant under one set of quotas form a lane. A lane whose quota is used
//! up is put aside until the tenant gives something back: it is not looked at for the
//! next tree, which so costs the same however many wait, and not being served then is
//! not being passed over.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use pleach_kernel::{Fairness, MAX_PASSES, Priority, Quotas, RootId};

/// What a tree waits for: a place for the best of its runs that wait for one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Want {
    pub priority: Priority,
    pub fairness: Fairness,
    /// How long that run's plugin takes on average.
    pub mean: u64,
    pub quotas: Quotas,
}

/// The trees of all tenants that wait. `T` is how a tree is told.
pub(super) struct Queue<T> {
    /// What one guest takes.
    memory_bytes: u64,
    tenants: Vec<Tenant>,
    lanes: Vec<Lane<T>>,
    places: HashMap<RootId, Spot>,
    next_turn: u64,
    /// Places given so far, and how many of them to which priority while others waited.
    served: u64,
    granted: [u64; 3],
    /// By priority: lanes that are not put aside, those first whose tenant was served
    /// longest ago, and of one tenant those in which somebody has waited longest.
    ready: [BTreeSet<(u64, u64, usize)>; 3],
    /// The same lanes, by when they have been passed over too often.
    due: [BTreeSet<(u64, usize)>; 3],
}

#[derive(Default)]
struct Tenant {
    running: u32,
    /// When it was last given a place that others waited for, too.
    served: u64,
    lanes: Vec<usize>,
}

struct Lane<T> {
    tenant: usize,
    quotas: Quotas,
    /// Where trees wait in it: whether its quota is used up.
    is_aside: bool,
    parts: [Part<T>; 3],
}

/// The trees of a lane that wait at one priority.
struct Part<T> {
    /// By when they lined up.
    waiters: BTreeMap<u64, Waiter<T>>,
    /// Of those that chose it, the shortest first.
    shortest: BTreeSet<(u64, u64)>,
    /// How many of those have lined up so far.
    drawn: u64,
    /// How often higher priorities have gone before it, up to `since`.
    passes: u64,
    since: u64,
    /// Where it stands in `ready`, by the first two, and in `due`.
    listed: Option<(u64, u64, u64)>,
}

struct Waiter<T> {
    root: RootId,
    tree: T,
    fairness: Fairness,
    mean: u64,
    /// The passes of its part when it lined up.
    passes: u64,
    /// Its number among those of which the shortest goes first.
    ticket: u64,
}

/// Where a tree waits.
#[derive(Clone, Copy, Debug)]
struct Spot {
    lane: usize,
    priority: usize,
    turn: u64,
}

/// The tree that is next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next(Spot);

impl<T> Queue<T> {
    pub(super) fn new(memory_bytes: u64) -> Self {
        Self {
            memory_bytes,
            tenants: Vec::new(),
            lanes: Vec::new(),
            places: HashMap::new(),
            next_turn: 0,
            served: 0,
            granted: [0; 3],
            ready: Default::default(),
            due: Default::default(),
        }
    }

    /// Adds a tenant; its number.
    pub(super) fn add_tenant(&mut self) -> usize {
        self.tenants.push(Tenant::default());
        self.tenants.len() - 1
    }

    fn fits(&self, tenant: usize, quotas: &Quotas) -> bool {
        let running = self.tenants[tenant].running;
        let memory_bytes = u64::from(running + 1).saturating_mul(self.memory_bytes);
        quotas.max_running.is_none_or(|most| running < most)
            && quotas.memory_bytes.is_none_or(|most| memory_bytes <= most)
    }

    /// Takes a place within the quotas, if no other tree of the tenant waits for one.
    pub(super) fn take(&mut self, tenant: usize, quotas: &Quotas) -> bool {
        let takes = !self.waits(tenant) && self.fits(tenant, quotas);
        self.tenants[tenant].running += u32::from(takes);
        takes
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, tenant: usize) {
        self.tenants[tenant].running -= 1;
        self.sort_lanes(tenant);
    }

    /// How much the tenant takes has changed.
    fn sort_lanes(&mut self, tenant: usize) {
        for place in 0..self.tenants[tenant].lanes.len() {
            self.sort(self.tenants[tenant].lanes[place]);
        }
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    fn waits(&self, tenant: usize) -> bool {
        let mut parts = self.tenants[tenant].lanes.iter().flat_map(|lane| &self.lanes[*lane].parts);
        !self.is_empty() && parts.any(|part| !part.waiters.is_empty())
    }

    /// Whether trees of the tenant wait although the host may have places.
    pub(super) fn is_short_of_quota(&self, tenant: usize) -> bool {
        let lanes = self.tenants[tenant].lanes.iter().map(|lane| &self.lanes[*lane]);
        lanes.filter(|lane| lane.is_aside).any(|lane| lane.parts.iter().any(|part| !part.waiters.is_empty()))
    }

    /// A tree waits, or waits for something else than before. Where that is of the same
    /// priority, it keeps its turn.
    pub(super) fn line_up(&mut self, tenant: usize, root: RootId, tree: T, want: &Want) {
        let (lane, priority) = (self.lane(tenant, &want.quotas), want.priority as usize);
        let stands = self.places.get(&root).copied().filter(|spot| spot.lane == lane && spot.priority == priority);
        if let Some(Spot { turn, .. }) = stands {
            self.unlist(lane, priority);
            self.lanes[lane].parts[priority].wait_for(turn, want.mean);
            return self.list(lane, priority);
        }
        self.withdraw(root);
        let (turn, passes) = (self.next_turn, self.passes(lane, priority));
        self.next_turn += 1;
        self.unlist(lane, priority);
        let part = &mut self.lanes[lane].parts[priority];
        let waiter = Waiter { root, tree, fairness: want.fairness, mean: want.mean, passes, ticket: part.drawn };
        if want.fairness == Fairness::ShortestFirst {
            part.drawn += 1;
            part.shortest.insert((want.mean, turn));
        }
        part.waiters.insert(turn, waiter);
        self.places.insert(root, Spot { lane, priority, turn });
        self.list(lane, priority);
        self.sort(lane);
    }

    /// A tree waits no longer.
    pub(super) fn withdraw(&mut self, root: RootId) {
        if let Some(spot) = self.places.get(&root).copied() {
            self.remove(spot);
        }
    }

    fn remove(&mut self, Spot { lane, priority, turn }: Spot) -> Option<Waiter<T>> {
        self.unlist(lane, priority);
        let part = &mut self.lanes[lane].parts[priority];
        let waiter = part.waiters.remove(&turn);
        if let Some(waiter) = &waiter {
            part.shortest.remove(&(waiter.mean, turn));
            self.places.remove(&waiter.root);
        }
        self.list(lane, priority);
        waiter
    }

    /// The tree that has the next place, if any waits whose quota is not used up.
    pub(super) fn next(&self) -> Option<Next> {
        for priority in [Priority::Medium as usize, Priority::Low as usize] {
            let now = self.higher(priority);
            if let Some((_, lane)) = self.due[priority].first().filter(|(due, _)| *due <= now) {
                return self.next_of(*lane, priority);
            }
        }
        let ready = self.ready.iter().enumerate();
        let mut first = ready.filter_map(|(priority, lanes)| Some((priority, lanes.first()?.2)));
        first.next().and_then(|(priority, lane)| self.next_of(lane, priority))
    }

    fn next_of(&self, lane: usize, priority: usize) -> Option<Next> {
        let turn = self.lanes[lane].parts[priority].next(self.passes(lane, priority))?;
        Some(Next(Spot { lane, priority, turn }))
    }

    /// Gives a place to the tree that is next: its tenant's number, and the tree.
    pub(super) fn grant(&mut self, Next(spot): Next) -> Option<(usize, T)> {
        let waiter = self.remove(spot)?;
        let tenant = self.lanes[spot.lane].tenant;
        self.granted[spot.priority] += 1;
        self.served += 1;
        self.tenants[tenant].running += 1;
        self.tenants[tenant].served = self.served;
        for place in 0..self.tenants[tenant].lanes.len() {
            let lane = self.tenants[tenant].lanes[place];
            for priority in 0..3 {
                self.unlist(lane, priority);
                self.list(lane, priority);
            }
        }
        self.sort_lanes(tenant);
        Some((tenant, waiter.tree))
    }

    /// The lane of these quotas. There are few: a tenant's policy seldom changes.
    fn lane(&mut self, tenant: usize, quotas: &Quotas) -> usize {
        let own = |queue: &Self, fits: &dyn Fn(&Lane<T>) -> bool| {
            queue.tenants[tenant].lanes.iter().copied().find(|lane| fits(&queue.lanes[*lane]))
        };
        if let Some(lane) = own(self, &|lane| lane.quotas == *quotas) {
            return lane;
        }
        let is_empty = |lane: &Lane<T>| lane.parts.iter().all(|part| part.waiters.is_empty());
        let lane = own(self, &is_empty).unwrap_or_else(|| {
            let parts = std::array::from_fn(|_| Part::default());
            self.lanes.push(Lane { tenant, quotas: *quotas, is_aside: false, parts });
            self.tenants[tenant].lanes.push(self.lanes.len() - 1);
            self.lanes.len() - 1
        });
        self.lanes[lane].quotas = *quotas;
        lane
    }

    /// How many places have gone to priorities above this one.
    fn higher(&self, priority: usize) -> u64 {
        self.granted[..priority].iter().sum()
    }

    /// How often a part of a lane was passed over, while its quota was not used up.
    fn passes(&self, lane: usize, priority: usize) -> u64 {
        let part = &self.lanes[lane].parts[priority];
        part.passes + if self.lanes[lane].is_aside { 0 } else { self.higher(priority) - part.since }
    }

    /// Puts a lane aside or brings it back, as its quota is.
    fn sort(&mut self, lane: usize) {
        match (self.fits(self.lanes[lane].tenant, &self.lanes[lane].quotas), self.lanes[lane].is_aside) {
            (false, false) => self.put_aside(lane),
            (true, true) => self.bring_back(lane),
            (true, false) | (false, true) => {}
        }
    }

    fn put_aside(&mut self, lane: usize) {
        for priority in 0..3 {
            self.unlist(lane, priority);
            self.lanes[lane].parts[priority].passes = self.passes(lane, priority);
        }
        self.lanes[lane].is_aside = true;
    }

    fn bring_back(&mut self, lane: usize) {
        self.lanes[lane].is_aside = false;
        for priority in 0..3 {
            self.lanes[lane].parts[priority].since = self.higher(priority);
            self.list(lane, priority);
        }
    }

    fn list(&mut self, lane: usize, priority: usize) {
        if self.lanes[lane].is_aside {
            return;
        }
        let (passes, higher) = (self.passes(lane, priority), self.higher(priority));
        let served = self.tenants[self.lanes[lane].tenant].served;
        let part = &mut self.lanes[lane].parts[priority];
        let Some((oldest, passed_over)) = part.oldest(passes) else { return };
        let due = higher + MAX_PASSES.saturating_sub(passed_over);
        part.listed = Some((served, oldest, due));
        self.ready[priority].insert((served, oldest, lane));
        self.due[priority].insert((due, lane));
    }

    fn unlist(&mut self, lane: usize, priority: usize) {
        if let Some((served, oldest, due)) = self.lanes[lane].parts[priority].listed.take() {
            self.ready[priority].remove(&(served, oldest, lane));
            self.due[priority].remove(&(due, lane));
        }
    }
}

impl<T> Part<T> {
    /// Whoever has waited longest, by its turn, and how often it was passed over.
    fn oldest(&self, passes: u64) -> Option<(u64, u64)> {
        let (turn, oldest) = self.waiters.first_key_value()?;
        let by_shorter = match oldest.fairness {
            Fairness::RoundRobin => 0,
            // Whoever lined up later and does not wait any more has gone before it, or
            // has left.
            Fairness::ShortestFirst => self.drawn - oldest.ticket - self.shortest.len() as u64,
        };
        Some((*turn, passes - oldest.passes + by_shorter))
    }

    /// Whose turn it is. Trees that chose that the shortest goes first share their
    /// turns: the shortest of them has whichever comes.
    fn next(&self, passes: u64) -> Option<u64> {
        let (turn, passed_over) = self.oldest(passes)?;
        match self.waiters.get(&turn)?.fairness {
            Fairness::ShortestFirst if passed_over < MAX_PASSES => self.shortest.first().map(|(_, turn)| *turn),
            Fairness::RoundRobin | Fairness::ShortestFirst => Some(turn),
        }
    }

    fn wait_for(&mut self, turn: u64, mean: u64) {
        if let Some(waiter) = self.waiters.get_mut(&turn)
            && waiter.fairness == Fairness::ShortestFirst
        {
            self.shortest.remove(&(waiter.mean, turn));
            self.shortest.insert((mean, turn));
            waiter.mean = mean;
        }
    }
}

impl<T> Default for Part<T> {
    fn default() -> Self {
        Self { waiters: BTreeMap::new(), shortest: BTreeSet::new(), drawn: 0, passes: 0, since: 0, listed: None }
    }
}

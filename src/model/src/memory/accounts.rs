//! The arithmetic of a budget: what is held, by class and tenant, and whether more fits.

use super::class::{Bound, Class};
use crate::tenant::TenantId;
use std::collections::HashMap;

const CLASSES: usize = Class::ALL.len();

/// A tenant may hold this many times what stays free of its class.
const THRESHOLD: usize = 3;

/// The most that one tenant can hold of a class of `capacity` bytes when nobody else holds any.
pub(super) fn share_of(capacity: usize) -> usize {
    capacity / (THRESHOLD + 1) * THRESHOLD
}

/// Who holds how much.
#[derive(Debug)]
pub(super) struct Accounts {
    total: usize,
    floors: [usize; CLASSES],
    used: [usize; CLASSES],
    peak: [usize; CLASSES],
    /// Only tenants that hold something: as many as there are leases at most.
    tenants: [HashMap<TenantId, usize>; CLASSES],
}

impl Accounts {
    pub(super) fn new(total: usize, floors: [usize; CLASSES]) -> Self {
        Self { total, floors, used: [0; CLASSES], peak: [0; CLASSES], tenants: Default::default() }
    }

    fn of(values: &[usize; CLASSES], class: Class) -> usize {
        values.get(class.at()).copied().unwrap_or(0)
    }

    pub(super) fn used(&self, class: Class) -> usize {
        Self::of(&self.used, class)
    }

    pub(super) fn peak(&self, class: Class) -> usize {
        Self::of(&self.peak, class)
    }

    /// What a tenant holds of a class.
    pub(super) fn held(&self, class: Class, tenant: &TenantId) -> usize {
        self.tenants.get(class.at()).and_then(|tenants| tenants.get(tenant)).copied().unwrap_or(0)
    }

    /// The most that a class can hold when the others hold nothing.
    pub(super) fn capacity(&self, class: Class) -> usize {
        let others: usize =
            Class::ALL.iter().filter(|c| **c != class).map(|c| Self::of(&self.floors, *c)).sum();
        self.total - others
    }

    /// What a class could take at the moment, whoever asks for it.
    pub(super) fn free(&self, class: Class) -> usize {
        // What the other classes hold or are sure of.
        let others: usize = Class::ALL
            .iter()
            .filter(|c| **c != class)
            .map(|c| self.used(*c).max(Self::of(&self.floors, *c)))
            .sum();
        self.total.saturating_sub(others).saturating_sub(self.used(class))
    }

    /// Takes `bytes`, or says which bound is in the way.
    pub(super) fn take(&mut self, class: Class, tenant: &TenantId, bytes: usize) -> Result<(), Bound> {
        let free = self.free(class);
        let (Some(used), Some(peak), Some(tenants)) =
            (self.used.get_mut(class.at()), self.peak.get_mut(class.at()), self.tenants.get_mut(class.at()))
        else {
            return Err(Bound::Class);
        };
        if bytes > free {
            return Err(Bound::Class);
        }
        let held = tenants.get(tenant).copied().unwrap_or(0) + bytes;
        if held > (free - bytes).saturating_mul(THRESHOLD) {
            return Err(Bound::Tenant);
        }
        if bytes > 0 {
            tenants.insert(tenant.clone(), held);
        }
        *used += bytes;
        *peak = (*peak).max(*used);
        Ok(())
    }

    /// Gives back what was taken.
    pub(super) fn give_back(&mut self, class: Class, tenant: &TenantId, bytes: usize) {
        if let Some(used) = self.used.get_mut(class.at()) {
            *used = used.saturating_sub(bytes);
        }
        let Some(tenants) = self.tenants.get_mut(class.at()) else { return };
        if let Some(held) = tenants.get_mut(tenant) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                tenants.remove(tenant);
            }
        }
    }
}

//! How do catalogues get into the image and back, and what happens when they cannot?

use super::bounds::Bounds;
use super::catalogue::{Catalogue, Shared, Sizes};
use super::days::Days;
use super::folder::Folder;
use super::image::{Image, ImageError, Kind, Record, RecordKey};
use super::pages::{BadPage, Packer, Unpacker};
use parking_lot::RwLockWriteGuard;
use std::collections::BTreeMap;
use std::path::Path;
use strandline_model::TenantId;

/// Where the image is.
pub(super) enum Store {
    /// Nowhere: there is no folder for it, or it failed.
    Off,
    /// The folder is free; the first commit makes the image.
    Empty(Folder),
    Open(Image),
}

type Tenants = BTreeMap<TenantId, Catalogue>;

impl Store {
    /// Saves what changed in the catalogues, which are all there are.
    pub(super) fn save(
        &mut self,
        generation: u64,
        catalogues: Vec<(TenantId, Shared)>,
        sizes: Sizes,
        stop: &dyn Fn() -> bool,
    ) -> Result<(), ImageError> {
        let go_on = || if stop() { Err(ImageError::Stopped) } else { Ok(()) };
        if let Self::Empty(folder) = self {
            let image = Image::create(folder.path(), sizes.piece_bytes)?;
            folder.sync_name()?;
            *self = Self::Open(image);
        }
        let Self::Open(image) = self else { return Ok(()) };
        let mut packer = Packer::new()?;
        let mut changed: Vec<Record> = Vec::new();
        let mut n_pages: BTreeMap<TenantId, (usize, usize)> = BTreeMap::new();
        for (tenant, catalogue) in catalogues {
            let mut catalogue = catalogue.write();
            let (label_pages, day_pages) = catalogue.take_dirty();
            // Queries go on while pages are packed.
            let catalogue = RwLockWriteGuard::downgrade(catalogue);
            for page in label_pages {
                go_on()?;
                let key = RecordKey { kind: Kind::Labels, tenant: tenant.clone(), page };
                changed.push((key, packer.labels(&catalogue, page)?));
            }
            for page in day_pages {
                go_on()?;
                let key = RecordKey { kind: Kind::Days, tenant: tenant.clone(), page };
                changed.push((key, packer.days(&catalogue, page)?));
            }
            n_pages.insert(tenant, catalogue.n_pages());
        }
        let stays = |key: &RecordKey| {
            let (labels, days) = n_pages.get(&key.tenant).copied().unwrap_or_default();
            (key.page as usize) < if key.kind == Kind::Labels { labels } else { days }
        };
        image.save(generation, &changed, stays)
    }

    /// Gives the image up; the index goes on without.
    pub(super) fn abandon(&mut self) {
        if let Self::Open(image) = std::mem::replace(self, Self::Off) {
            image.abandon();
        }
    }

    /// Lets go of the image.
    pub(super) fn close(&mut self) -> Result<(), ImageError> {
        match std::mem::replace(self, Self::Off) {
            Self::Open(image) => image.close(),
            _ => Ok(()),
        }
    }
}

/// Opens the image in `dir`, if it has this generation, is whole and fits, with what it holds.
pub(super) fn read_image(
    dir: &Path,
    generation: u64,
    bounds: Bounds<'_>,
) -> Result<(Image, Tenants), ImageError> {
    if !Folder::new(dir)?.exists()? {
        return Err(ImageError::Missing);
    }
    let (image, records) = Image::open(dir, generation, bounds)?;
    match read_records(records, bounds) {
        Ok(tenants) => Ok((image, tenants)),
        Err(e) => {
            image.close()?;
            Err(e)
        }
    }
}

fn read_records(records: Vec<Record>, bounds: Bounds<'_>) -> Result<Tenants, ImageError> {
    let mut unpacker = Unpacker::new(bounds.sizes)?;
    let mut read = Tenants::new();
    let mut days: BTreeMap<TenantId, Vec<Days>> = BTreeMap::new();
    let bad = |_: BadPage| ImageError::Damaged("a page is not well-formed");
    // Of all pages of a tenant only the last may not be full.
    for (key, _) in records.iter().rev().filter(|(key, _)| key.kind == Kind::Labels) {
        let room = key.page as usize * bounds.sizes.label_page;
        read.entry(key.tenant.clone()).or_insert_with(|| Catalogue::with_room(room, bounds.sizes));
    }
    let mut bytes: usize = read.values().map(Catalogue::estimated_bytes).sum();
    // What was read and what is made of it are in memory together.
    let mut unread: usize = records.iter().map(|(_, content)| content.len()).sum();
    for (key, content) in records {
        if (bounds.stop)() {
            return Err(ImageError::Stopped);
        }
        match key.kind {
            Kind::Labels => {
                let catalogue =
                    read.entry(key.tenant.clone()).or_insert_with(|| Catalogue::new(bounds.sizes));
                let before = catalogue.estimated_bytes();
                unpacker.labels(catalogue, key.page, &content).map_err(bad)?;
                bytes = bytes.saturating_sub(before) + catalogue.estimated_bytes();
            }
            Kind::Days => {
                let page = unpacker.days(&content).map_err(bad)?;
                bytes += page.iter().map(|days| size_of::<Days>() + days.heap_bytes()).sum::<usize>();
                days.entry(key.tenant.clone()).or_default().extend(page);
            }
        }
        unread = unread.saturating_sub(content.len());
        if bytes.saturating_add(unread) > bounds.max_bytes {
            return Err(ImageError::TooLarge(bounds.max_bytes));
        }
    }
    for (tenant, catalogue) in &mut read {
        if !catalogue.set_days(days.remove(tenant).unwrap_or_default()) {
            return Err(ImageError::Damaged("streams and days do not belong together"));
        }
    }
    if days.is_empty() { Ok(read) } else { Err(ImageError::Damaged("days without streams")) }
}

/// Makes room for a new image where one is that cannot be used.
pub(super) fn clear_place(dir: &Path, why: &ImageError) -> Store {
    let cleared = Folder::new(dir).and_then(|folder| {
        match why {
            ImageError::Missing => {}
            // Every unclean stop leaves one of these: nothing to learn from it.
            ImageError::Stale { .. } | ImageError::TooLarge(_) => folder.remove()?,
            // It is sound as far as is known, and may be the right one after the next start.
            ImageError::Stopped => return Ok(None),
            _ => folder.set_aside()?,
        }
        Ok(Some(folder))
    });
    match cleared {
        Ok(Some(folder)) => {
            tracing::info!("the label index starts empty: {why}");
            Store::Empty(folder)
        }
        Ok(None) => Store::Off,
        Err(e) => {
            tracing::warn!("labels stay in memory: {why}, and its folder cannot be cleared: {e}");
            Store::Off
        }
    }
}

//! Desktops: reading, tagging, retiring and unretiring.

use domain::{
    Error, Reason,
    authz::{ALL, Action, Resource},
    ids::{DesktopId, ProjectId},
    page::Page,
    tags::{TagChange, effective},
    version::{self, PROGRAM, Version},
};
use store::{
    Connection,
    desktop::{self, DesktopFilter, DesktopOrder, DesktopRow, Retired},
    enrolment,
    notify::{self, Wake},
};

use crate::{Caller, Control, change::Begun, kept};

/// Selects desktops whose agent is older than a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAge {
    field: &'static str,
    than: Version,
}

impl AgentAge {
    /// Reads the two fields of a list: whether only agents older than this control plane are
    /// wanted, and a version that they precede. `None` if neither is set.
    ///
    /// # Errors
    ///
    /// Both are set, or the version is not valid.
    pub fn read(
        (outdated_field, outdated): (&'static str, bool),
        (than_field, than): (&'static str, Option<&str>),
    ) -> Result<Option<Self>, Error> {
        match (outdated, than) {
            (false, None) => Ok(None),
            (true, Some(_)) => Err(Error::field(
                Reason::FieldsExclusive,
                than_field,
                format!(
                    "excludes {outdated_field}, which compares with version {PROGRAM} of the control plane"
                ),
            )),
            (true, None) => {
                Ok(Some(Self { field: outdated_field, than: Version::parse(outdated_field, PROGRAM)? }))
            }
            (false, Some(than)) => {
                Ok(Some(Self { field: than_field, than: Version::parse(than_field, than)? }))
            }
        }
    }

    /// Returns the older versions of the project's agents, of the `wanted` ones unless those are
    /// empty.
    async fn versions(
        &self,
        connection: &mut Connection,
        project_id: &ProjectId,
        wanted: &[String],
    ) -> Result<Vec<String>, Error> {
        if !wanted.is_empty() {
            return version::older_ones(self.field, wanted.to_vec(), &self.than);
        }
        // One more than the limit shows that there are more.
        let limit = i64::try_from(version::MAX_VERSIONS + 1).unwrap_or(i64::MAX);
        let reported = desktop::agent_versions(connection, project_id, limit).await?;
        version::older_ones(self.field, reported, &self.than)
    }
}

fn missing(desktop_id: &DesktopId) -> Error {
    Error::new(Reason::DesktopNotFound, format!("desktop {desktop_id} does not exist"))
}

/// Finds a desktop, retired or not.
async fn find(
    connection: &mut Connection,
    project_id: &ProjectId,
    desktop_id: &DesktopId,
) -> Result<DesktopRow, Error> {
    let filter = DesktopFilter {
        desktop_ids: vec![desktop_id.as_str().to_owned()],
        retired: Retired::Included,
        ..DesktopFilter::default()
    };
    let found = desktop::page(connection, project_id, &filter, 1).await?.pop();
    found.ok_or_else(|| missing(desktop_id))
}

/// Describes a change of tags for the audit.
fn describe(desktop_id: &DesktopId, change: &TagChange) -> String {
    let set = change.set.iter().map(|(name, value)| format!(" set:{name}={value}"));
    let removed = change.remove.iter().map(|name| format!(" remove:{name}"));
    kept(&format!("desktop:{desktop_id}{}", set.chain(removed).collect::<String>()))
}

impl Control {
    /// Lists one page of desktops, with the total number. `action` is the permission of the list
    /// that the caller requests.
    pub async fn list_desktops(
        &self,
        caller: &Caller,
        action: Action,
        filter: &DesktopFilter,
        order: DesktopOrder,
        page: Page,
    ) -> Result<(i64, Vec<DesktopRow>), Error> {
        caller.check(action, [Resource::Desktop(ALL)])?;
        self.list(caller.project_id(), async |connection| {
            Ok(desktop::list(connection, caller.project_id(), filter, order, page).await?)
        })
        .await
    }

    /// Lists at most `limit` desktops by id. The filter contains the start position. With `age`,
    /// only desktops with an older agent.
    pub async fn page_desktops(
        &self,
        caller: &Caller,
        filter: &DesktopFilter,
        age: Option<&AgentAge>,
        limit: i64,
    ) -> Result<Vec<DesktopRow>, Error> {
        caller.check(Action::ListDesktopsDetail, [Resource::Desktop(ALL)])?;
        let project_id = caller.project_id();
        self.list(project_id, async |connection| {
            let Some(age) = age else {
                return Ok(desktop::page(connection, project_id, filter, limit).await?);
            };
            let mut filter = filter.clone();
            filter.agent_versions = age.versions(connection, project_id, &filter.agent_versions).await?;
            if filter.agent_versions.is_empty() {
                return Ok(Vec::new());
            }
            Ok(desktop::page(connection, project_id, &filter, limit).await?)
        })
        .await
    }

    /// Shows one desktop, retired or not.
    pub async fn show_desktop(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        caller.check(Action::ListDesktopsDetail, [Resource::Desktop(desktop_id.as_str())])?;
        self.desktop_after(caller, desktop_id).await
    }

    /// Returns a desktop that the caller just changed. The right to change includes the right to
    /// see the result.
    async fn desktop_after(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        find(&mut *self.store.acquire().await?, caller.project_id(), desktop_id).await
    }

    /// Sets and removes operator tags of a desktop. They take precedence over tags that its agent
    /// reports. Returns the updated desktop.
    pub async fn tag_desktop(
        &self,
        caller: &Caller,
        desktop_id: &DesktopId,
        change: &TagChange,
    ) -> Result<DesktopRow, Error> {
        caller.check(Action::TagDesktop, [Resource::Desktop(desktop_id.as_str())])?;
        change.check()?;
        let project_id = caller.project_id();
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.desktop_after(caller, desktop_id).await,
        };
        let stored = desktop::lock_tags(&mut tx, project_id, desktop_id).await?;
        let stored = stored.ok_or_else(|| missing(desktop_id))?;
        let operators = change.apply(&stored.agents, &stored.operators)?;
        let tags = effective(&stored.agents, &operators);
        desktop::put_operator_tags(&mut tx, project_id, desktop_id, &operators, &tags).await?;
        let row = find(&mut tx, project_id, desktop_id).await?;
        self.done(tx, caller, Action::TagDesktop, &describe(desktop_id, change), "").await?;
        Ok(row)
    }

    /// Retires a desktop: it gets no new targets, its certificates are revoked, its connection
    /// ends, and its agent is refused. Targets that wait for it end as UNDELIVERED. Returns
    /// the updated desktop.
    pub async fn retire_desktop(&self, caller: &Caller, desktop_id: &DesktopId) -> Result<DesktopRow, Error> {
        caller.check(Action::RetireDesktop, [Resource::Desktop(desktop_id.as_str())])?;
        let (project_id, by, now) = (caller.project_id(), &caller.identity.principal, self.environment.now());
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.desktop_after(caller, desktop_id).await,
        };
        // The lock order is that of a revocation alone: certificates first.
        enrolment::revoke_desktop(&mut tx, project_id, desktop_id, now).await?;
        if !desktop::retire(&mut tx, project_id, desktop_id, by, now).await? {
            return Err(missing(desktop_id));
        }
        notify::send(&mut tx, Wake::Presence).await?;
        let row = find(&mut tx, project_id, desktop_id).await?;
        self.done(tx, caller, Action::RetireDesktop, &format!("desktop:{desktop_id}"), "").await?;
        tracing::warn!(%project_id, %desktop_id, actor = by, "a desktop is retired");
        Ok(row)
    }

    /// Returns a retired desktop to service; a desktop in service stays unchanged. Its certificates
    /// stay revoked. Returns the updated desktop.
    pub async fn unretire_desktop(
        &self,
        caller: &Caller,
        desktop_id: &DesktopId,
    ) -> Result<DesktopRow, Error> {
        caller.check(Action::UnretireDesktop, [Resource::Desktop(desktop_id.as_str())])?;
        let (project_id, by) = (caller.project_id(), &caller.identity.principal);
        let mut tx = match self.begin_change(caller).await? {
            Begun::New(tx) => tx,
            Begun::Repeated(_) => return self.desktop_after(caller, desktop_id).await,
        };
        if !desktop::unretire(&mut tx, project_id, desktop_id).await? {
            return Err(missing(desktop_id));
        }
        let row = find(&mut tx, project_id, desktop_id).await?;
        self.done(tx, caller, Action::UnretireDesktop, &format!("desktop:{desktop_id}"), "").await?;
        tracing::warn!(%project_id, %desktop_id, actor = by, "a retired desktop is in service again");
        Ok(row)
    }
}

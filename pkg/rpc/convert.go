package rpc

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	dvxv1 "github.com/dvx-io/dvx/proto/dvx/v1"
)

// idBytes returns a commit ID for the wire, empty for none.
func idBytes(id commit.ID) []byte {
	if id.IsZero() {
		return nil
	}
	return id[:]
}

// idFrom reads a commit ID from the wire.
func idFrom(b []byte) (commit.ID, error) {
	var id commit.ID
	if len(b) != 0 && len(b) != len(id) {
		return id, fmt.Errorf("commit id of %d bytes: %w", len(b), fs.ErrInvalid)
	}
	copy(id[:], b)
	return id, nil
}

// viewTo turns a view into its message.
func viewTo(v *repo.View) *dvxv1.View {
	out := &dvxv1.View{Generation: v.Gen, Expires: v.Expires}
	for _, name := range slices.Sorted(maps.Keys(v.Repos)) {
		r := v.Repos[name]
		m := &dvxv1.Repo{
			Name: name, Description: r.Description, DefaultBranch: r.Default,
			Branches: branchesTo(r.Branches), Specs: branchesTo(r.Specs),
		}
		for _, b := range m.Branches {
			if o, ok := v.Open[repo.OpenKey(name, b.GetName())]; ok {
				b.Open = openTo(o)
			}
		}
		if !r.Created.IsZero() {
			m.Created = timestamppb.New(r.Created)
		}
		for _, tag := range slices.Sorted(maps.Keys(r.Tags)) {
			t := r.Tags[tag]
			m.Tags = append(m.Tags, &dvxv1.Tag{Name: tag, Commit: idBytes(t.Commit), Generation: t.Gen, Owner: t.Owner, Message: t.Message})
		}
		out.Repos = append(out.Repos, m)
	}
	return out
}

func branchesTo(bs map[string]repo.Branch) []*dvxv1.Branch {
	var out []*dvxv1.Branch
	for _, name := range slices.Sorted(maps.Keys(bs)) {
		b := bs[name]
		out = append(out, &dvxv1.Branch{
			Name: name, Commit: idBytes(b.Commit), Generation: b.Gen, Owner: b.Owner, Fork: b.Fork, Protect: b.Protect,
			Sealing: sealingTo(b.Seal), Keep: retentionTo(b.Keep),
		})
	}
	return out
}

// viewFrom reads a view from its message.
func viewFrom(m *dvxv1.View) (*repo.View, error) {
	v := &repo.View{Gen: m.GetGeneration(), Expires: m.GetExpires(), Repos: map[string]repo.Repo{}}
	for _, rm := range m.GetRepos() {
		r := repo.Repo{Description: rm.GetDescription(), Default: rm.GetDefaultBranch(), Tags: map[string]repo.Tag{}}
		if rm.GetCreated() != nil {
			r.Created = rm.GetCreated().AsTime()
		}
		var err error
		if r.Branches, err = branchesFrom(rm.GetBranches()); err != nil {
			return nil, err
		}
		if r.Specs, err = branchesFrom(rm.GetSpecs()); err != nil {
			return nil, err
		}
		for _, t := range rm.GetTags() {
			id, err := idFrom(t.GetCommit())
			if err != nil {
				return nil, err
			}
			r.Tags[t.GetName()] = repo.Tag{Commit: id, Gen: t.GetGeneration(), Owner: t.GetOwner(), Message: t.GetMessage()}
		}
		for _, b := range rm.GetBranches() {
			if o := b.GetOpen(); o != nil {
				if v.Open == nil {
					v.Open = map[string]repo.OpenCommit{}
				}
				v.Open[repo.OpenKey(rm.GetName(), b.GetName())] = openFrom(o, r.Branches[b.GetName()].Commit)
			}
		}
		v.Repos[rm.GetName()] = r
	}
	return v, nil
}

func branchesFrom(ms []*dvxv1.Branch) (map[string]repo.Branch, error) {
	out := make(map[string]repo.Branch, len(ms))
	for _, m := range ms {
		id, err := idFrom(m.GetCommit())
		if err != nil {
			return nil, err
		}
		out[m.GetName()] = repo.Branch{
			Commit: id, Gen: m.GetGeneration(), Owner: m.GetOwner(), Fork: m.GetFork(), Protect: m.GetProtect(),
			Seal: sealingFrom(m.GetSealing()), Keep: retentionFrom(m.GetKeep()),
		}
	}
	return out, nil
}

// txnTo turns a transaction into its message.
func txnTo(t repo.Txn) (*dvxv1.Txn, error) {
	m := &dvxv1.Txn{OpId: t.Op[:]}
	for _, op := range t.Ops {
		o, err := opTo(op)
		if err != nil {
			return nil, err
		}
		m.Ops = append(m.Ops, o)
	}
	return m, nil
}

func opTo(op repo.Op) (*dvxv1.Op, error) {
	switch o := op.(type) {
	case repo.CreateRepo:
		return &dvxv1.Op{Op: &dvxv1.Op_CreateRepo{CreateRepo: &dvxv1.CreateRepo{Repo: o.Repo, Branch: o.Branch, Description: o.Description}}}, nil
	case repo.DeleteRepo:
		return &dvxv1.Op{Op: &dvxv1.Op_DeleteRepo{DeleteRepo: &dvxv1.DeleteRepo{Repo: o.Repo, Seen: o.Seen}}}, nil
	case repo.CreateBranch:
		return &dvxv1.Op{Op: &dvxv1.Op_CreateBranch{CreateBranch: &dvxv1.CreateBranch{Repo: o.Repo, Branch: o.Branch, From: idBytes(o.From), Fork: o.Fork}}}, nil
	case repo.MoveBranch:
		return &dvxv1.Op{Op: &dvxv1.Op_MoveBranch{MoveBranch: &dvxv1.MoveBranch{Repo: o.Repo, Branch: o.Branch, Expect: idBytes(o.Expect), To: idBytes(o.To), Force: o.Force}}}, nil
	case repo.DeleteBranch:
		return &dvxv1.Op{Op: &dvxv1.Op_DeleteBranch{DeleteBranch: &dvxv1.DeleteBranch{Repo: o.Repo, Branch: o.Branch, Expect: idBytes(o.Expect)}}}, nil
	case repo.CreateTag:
		return &dvxv1.Op{Op: &dvxv1.Op_CreateTag{CreateTag: &dvxv1.CreateTag{Repo: o.Repo, Tag: o.Tag, Commit: idBytes(o.Commit)}}}, nil
	case repo.DeleteTag:
		return &dvxv1.Op{Op: &dvxv1.Op_DeleteTag{DeleteTag: &dvxv1.DeleteTag{Repo: o.Repo, Tag: o.Tag}}}, nil
	case repo.MoveSpec:
		return &dvxv1.Op{Op: &dvxv1.Op_MoveSpec{MoveSpec: &dvxv1.MoveSpec{Repo: o.Repo, Branch: o.Branch, Expect: idBytes(o.Expect), To: idBytes(o.To)}}}, nil
	case repo.Protect:
		return &dvxv1.Op{Op: &dvxv1.Op_Protect{Protect: &dvxv1.Protect{Repo: o.Repo, Branch: o.Branch, Principals: o.Principals}}}, nil
	case repo.SetSealing:
		return &dvxv1.Op{Op: &dvxv1.Op_SetSealing{SetSealing: &dvxv1.SetSealing{Repo: o.Repo, Branch: o.Branch, Sealing: sealingTo(o.Sealing)}}}, nil
	case repo.SetRetention:
		return &dvxv1.Op{Op: &dvxv1.Op_SetRetention{SetRetention: &dvxv1.SetRetention{Repo: o.Repo, Branch: o.Branch, Keep: retentionTo(o.Keep)}}}, nil
	case repo.Seal:
		return &dvxv1.Op{Op: &dvxv1.Op_Seal{Seal: &dvxv1.Seal{Repo: o.Repo, Branch: o.Branch}}}, nil
	default:
		return nil, fmt.Errorf("operation %T can't be sent to a daemon: %w", op, fs.ErrInvalid)
	}
}

// txnFrom reads a transaction from its message.
func txnFrom(m *dvxv1.Txn) (repo.Txn, error) {
	var t repo.Txn
	if len(m.GetOpId()) != len(t.Op) {
		return t, fmt.Errorf("operation id of %d bytes, want %d: %w", len(m.GetOpId()), len(t.Op), fs.ErrInvalid)
	}
	copy(t.Op[:], m.GetOpId())
	if len(m.GetOps()) > repo.TxnOpsMax {
		return t, fmt.Errorf("transaction of %d operations, at most %d allowed: %w", len(m.GetOps()), repo.TxnOpsMax, fs.ErrInvalid)
	}
	for i, om := range m.GetOps() {
		op, err := opFrom(om)
		if err != nil {
			return t, fmt.Errorf("operation %d: %w", i, err)
		}
		t.Ops = append(t.Ops, op)
	}
	return t, nil
}

func opFrom(m *dvxv1.Op) (repo.Op, error) {
	var bad error
	id := func(b []byte) commit.ID {
		v, err := idFrom(b)
		if err != nil {
			bad = err
		}
		return v
	}
	var op repo.Op
	switch o := m.GetOp().(type) {
	case *dvxv1.Op_CreateRepo:
		v := o.CreateRepo
		op = repo.CreateRepo{Repo: v.GetRepo(), Branch: v.GetBranch(), Description: v.GetDescription()}
	case *dvxv1.Op_DeleteRepo:
		op = repo.DeleteRepo{Repo: o.DeleteRepo.GetRepo(), Seen: o.DeleteRepo.GetSeen()}
	case *dvxv1.Op_CreateBranch:
		v := o.CreateBranch
		op = repo.CreateBranch{Repo: v.GetRepo(), Branch: v.GetBranch(), From: id(v.GetFrom()), Fork: v.GetFork()}
	case *dvxv1.Op_MoveBranch:
		v := o.MoveBranch
		op = repo.MoveBranch{Repo: v.GetRepo(), Branch: v.GetBranch(), Expect: id(v.GetExpect()), To: id(v.GetTo()), Force: v.GetForce()}
	case *dvxv1.Op_DeleteBranch:
		v := o.DeleteBranch
		op = repo.DeleteBranch{Repo: v.GetRepo(), Branch: v.GetBranch(), Expect: id(v.GetExpect())}
	case *dvxv1.Op_CreateTag:
		v := o.CreateTag
		op = repo.CreateTag{Repo: v.GetRepo(), Tag: v.GetTag(), Commit: id(v.GetCommit())}
	case *dvxv1.Op_DeleteTag:
		op = repo.DeleteTag{Repo: o.DeleteTag.GetRepo(), Tag: o.DeleteTag.GetTag()}
	case *dvxv1.Op_MoveSpec:
		v := o.MoveSpec
		op = repo.MoveSpec{Repo: v.GetRepo(), Branch: v.GetBranch(), Expect: id(v.GetExpect()), To: id(v.GetTo())}
	case *dvxv1.Op_Protect:
		v := o.Protect
		op = repo.Protect{Repo: v.GetRepo(), Branch: v.GetBranch(), Principals: v.GetPrincipals()}
	case *dvxv1.Op_SetSealing:
		v := o.SetSealing
		op = repo.SetSealing{Repo: v.GetRepo(), Branch: v.GetBranch(), Sealing: sealingFrom(v.GetSealing())}
	case *dvxv1.Op_SetRetention:
		v := o.SetRetention
		op = repo.SetRetention{Repo: v.GetRepo(), Branch: v.GetBranch(), Keep: retentionFrom(v.GetKeep())}
	case *dvxv1.Op_Seal:
		op = repo.Seal{Repo: o.Seal.GetRepo(), Branch: o.Seal.GetBranch()}
	default:
		return nil, fmt.Errorf("unknown operation; is the client newer than the daemon?: %w", fs.ErrInvalid)
	}
	return op, bad
}

// rightsOf returns what an operation needs: the right to administer the repo
// for what creates, deletes or protects, else the right to write it.
func rightsOf(op repo.Op) (repoName, branch string, admin bool) {
	switch o := op.(type) {
	case repo.CreateRepo:
		return o.Repo, "", true
	case repo.DeleteRepo:
		return o.Repo, "", true
	case repo.CreateBranch:
		return o.Repo, o.Branch, false
	case repo.MoveBranch:
		return o.Repo, o.Branch, false
	case repo.DeleteBranch:
		return o.Repo, o.Branch, false
	case repo.CreateTag:
		return o.Repo, "", false
	case repo.DeleteTag:
		return o.Repo, "", false
	case repo.MoveSpec:
		return o.Repo, o.Branch, false
	case repo.Protect:
		return o.Repo, o.Branch, true
	case repo.Seal:
		return o.Repo, o.Branch, false
	case repo.SetSealing:
		return o.Repo, o.Branch, true
	case repo.SetRetention:
		return o.Repo, o.Branch, true
	default:
		return "", "", true
	}
}

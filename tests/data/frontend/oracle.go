// Lowers the cases of cases.json (standard input) by the frontend of BuildKit itself and writes what
// it makes of them: configuration, history, names of vertices, commands. Built by record.sh inside a
// checkout of BuildKit.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

type resolver struct{ images map[string]json.RawMessage }

func (r resolver) ResolveImageConfig(ctx context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	for name, dt := range r.images {
		if ref == "docker.io/library/"+name+":latest" {
			return ref, digest.FromString(name), dt, nil
		}
	}
	return "", "", nil, fmt.Errorf("no image %s", ref)
}

type Case struct {
	Name       string            `json:"name"`
	Dockerfile string            `json:"dockerfile"`
	Args       map[string]string `json:"args"`
	Target     string            `json:"target"`
	Labels     map[string]string `json:"labels"`
}

func run(c Case, images map[string]json.RawMessage) map[string]any {
	p := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	caps := pb.Caps.CapSet(pb.Caps.All())
	args := map[string]string{}
	for k, v := range c.Args {
		args[k] = v
	}
	opt := dockerfile2llb.ConvertOpt{
		Config:         dockerui.Config{BuildArgs: args, Target: c.Target, Labels: c.Labels, BuildPlatforms: []ocispecs.Platform{p}},
		MetaResolver:   resolver{images},
		TargetPlatform: &p,
		LLBCaps:        &caps,
	}
	res, err := dockerfile2llb.Dockerfile2LLB(context.Background(), []byte(c.Dockerfile), opt)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	def, err := res.State.Marshal(context.Background(), llb.LinuxAmd64)
	if err != nil {
		return map[string]any{"error": err.Error()}
	}
	names := []string{}
	execs := []any{}
	for _, dt := range def.Def {
		var op pb.Op
		if err := op.UnmarshalVT(dt); err != nil {
			panic(err)
		}
		d := digest.FromBytes(dt)
		if md, ok := def.Metadata[d]; ok {
			if n := md.Description["llb.customname"]; n != "" && !strings.HasPrefix(n, "[internal]") && !strings.HasPrefix(n, "setting cache") && !strings.Contains(n, "LINK ") && !strings.Contains(n, "preparing inline") {
				names = append(names, n)
			}
		}
		if e := op.GetExec(); e != nil {
			mounts := []any{}
			for _, m := range e.Mounts {
				if m.Dest == "/" {
					continue
				}
				mounts = append(mounts, map[string]any{"dest": m.Dest, "type": m.MountType.String(), "selector": m.Selector, "readonly": m.Readonly, "cache": m.CacheOpt, "secret": m.SecretOpt, "ssh": m.SSHOpt, "tmpfs": m.TmpfsOpt})
			}
			execs = append(execs, map[string]any{"args": e.Meta.Args, "env": e.Meta.Env, "cwd": e.Meta.Cwd, "user": e.Meta.User, "mounts": mounts, "network": e.Network.String(), "secretenv": e.Secretenv})
		}
	}
	hist := []any{}
	base := 0
	if res.BaseImage != nil {
		base = len(res.BaseImage.History)
	}
	for i, h := range res.Image.History {
		if i < base {
			continue
		}
		hist = append(hist, map[string]any{"created_by": h.CreatedBy, "empty_layer": h.EmptyLayer, "comment": h.Comment})
	}
	img := *res.Image
	img.History = nil
	img.Created = nil
	dt, _ := json.Marshal(img)
	var cfg map[string]any
	json.Unmarshal(dt, &cfg)
	delete(cfg, "rootfs")
	return map[string]any{"config": cfg, "history": hist, "names": names, "execs": execs}
}

func main() {
	var in struct {
		Images map[string]json.RawMessage `json:"images"`
		Cases  []Case                     `json:"cases"`
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	out := []any{}
	for _, c := range in.Cases {
		r := run(c, in.Images)
		r["name"] = c.Name
		out = append(out, r)
	}
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", " ")
	enc.SetEscapeHTML(false)
	enc.Encode(out)
}

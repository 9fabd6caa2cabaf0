// Command psscheck says what Kubernetes' own Pod security admission decides about Pods, for tests to compare with. Arguments are
// files and directories of manifests that hold Pods; each Pod gives a line of JSON.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// verdict is what is decided about one Pod, at the newest version of the standards.
type verdict struct {
	File       string `json:"file"` // relative to the argument
	Name       string `json:"name"`
	Baseline   bool   `json:"baseline"` // allowed
	Restricted bool   `json:"restricted"`
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "psscheck:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return err
	}
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		return err
	}
	decoder := serializer.NewCodecFactory(scheme).UniversalDeserializer()
	out := json.NewEncoder(os.Stdout)
	for _, arg := range args {
		err := filepath.WalkDir(arg, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" {
				return err
			}
			rel, err := filepath.Rel(arg, name)
			if err != nil {
				return err
			}
			pods, err := read(decoder, name)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			for _, pod := range pods {
				allowed := func(level api.Level) bool {
					results := evaluator.EvaluatePod(api.LevelVersion{Level: level, Version: api.LatestVersion()}, &pod.ObjectMeta, &pod.Spec)
					return policy.AggregateCheckResults(results).Allowed
				}
				v := verdict{File: filepath.ToSlash(rel), Name: pod.Name, Baseline: allowed(api.LevelBaseline), Restricted: allowed(api.LevelRestricted)}
				if err := out.Encode(v); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// read decodes the Pods of a file as the API server does, which makes an emptyDir of a volume without source.
func read(decoder runtime.Decoder, name string) ([]*corev1.Pod, error) {
	raw, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(raw), 4096)
	var pods []*corev1.Pod
	for {
		var doc json.RawMessage
		if err := documents.Decode(&doc); errors.Is(err, io.EOF) {
			return pods, nil
		} else if err != nil {
			return nil, err
		}
		object, _, err := decoder.Decode(doc, nil, nil)
		if err != nil {
			return nil, err
		}
		pod, ok := object.(*corev1.Pod)
		if !ok {
			return nil, fmt.Errorf("%T is no Pod", object)
		}
		for i := range pod.Spec.Volumes {
			if v := &pod.Spec.Volumes[i]; v.VolumeSource == (corev1.VolumeSource{}) {
				v.EmptyDir = &corev1.EmptyDirVolumeSource{}
			}
		}
		pods = append(pods, pod)
	}
}

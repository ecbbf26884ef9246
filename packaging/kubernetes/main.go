// Command kubernetes reads manifests from the standard input as the types that Kubernetes and
// the Prometheus Operator declare, and fails at a field that is not theirs, or has another
// type. It is a module of its own, because nothing else needs these types.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	stream "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// kinds make an object of a kind that the manifests have.
var kinds = map[meta.TypeMeta]func() any{
	{APIVersion: "v1", Kind: "Secret"}:                               func() any { return new(core.Secret) },
	{APIVersion: "v1", Kind: "Service"}:                              func() any { return new(core.Service) },
	{APIVersion: "apps/v1", Kind: "Deployment"}:                      func() any { return new(apps.Deployment) },
	{APIVersion: "policy/v1", Kind: "PodDisruptionBudget"}:           func() any { return new(policy.PodDisruptionBudget) },
	{APIVersion: "monitoring.coreos.com/v1", Kind: "ServiceMonitor"}: func() any { return new(monitoring.ServiceMonitor) },
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

func run(manifests io.Reader, stdout io.Writer) error {
	documents := stream.NewYAMLReader(bufio.NewReader(manifests))
	for {
		text, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		var of meta.TypeMeta
		if err := yaml.Unmarshal(text, &of); err != nil {
			return err
		}
		object := kinds[of]
		if object == nil {
			return fmt.Errorf("%s %s is of no kind that is known here", of.APIVersion, of.Kind)
		}
		if err := yaml.UnmarshalStrict(text, object()); err != nil {
			return fmt.Errorf("%s: %w", of.Kind, err)
		}
		fmt.Fprintln(stdout, of.APIVersion, of.Kind)
	}
}

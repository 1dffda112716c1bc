{
  description = "factoryup: a software factory for one developer, on day one";

  # The only input: each further one costs the first `nix run` a download.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      inherit (nixpkgs) lib;
      manifest = (lib.importTOML ./Cargo.toml).package;

      # The archives of the last release, for each system; scripts/release writes it.
      release = if builtins.pathExists ./release.json then lib.importJSON ./release.json else { archives = { }; };

      # Without x86_64-darwin, which nixpkgs no longer has: to name it fails even for those on another system.
      forEachSystem =
        outputs:
        lib.genAttrs [
          "x86_64-linux"
          "aarch64-linux"
          "aarch64-darwin"
        ] (system: outputs nixpkgs.legacyPackages.${system});

      # What the crate is built, linted and tested from; a change elsewhere rebuilds nothing.
      source = lib.fileset.toSource {
        root = ./.;
        fileset = lib.fileset.unions [
          ./Cargo.lock
          ./Cargo.toml
          ./benches
          ./clippy.toml
          ./crates
          ./deny.toml
          ./install.sh
          ./rustfmt.toml
          ./src
          ./templates
          ./tests
        ];
      };

      package =
        {
          lib,
          stdenv,
          rustPlatform,
          installShellFiles,
          pkg-config,
          openssl,
          zlib,
        }:
        rustPlatform.buildRustPackage {
          pname = "factoryup";
          inherit (manifest) version;
          src = source;
          cargoLock.lockFile = ./Cargo.lock;

          # The default features build an OpenSSL of their own, which takes minutes; here it is nixpkgs' one.
          buildNoDefaultFeatures = true;
          # The other members are for tests.
          cargoBuildFlags = [
            "--package"
            "factoryup"
          ];
          env.OPENSSL_NO_VENDOR = "1";
          nativeBuildInputs = [
            installShellFiles
            pkg-config
          ];
          buildInputs = [
            openssl
            zlib
          ];

          # The tests need git, sshd and more, and belong to CI: `nix run` is not to wait for them.
          doCheck = false;

          postInstall = lib.optionalString (stdenv.buildPlatform.canExecute stdenv.hostPlatform) ''
            for shell in bash fish zsh; do
              $out/bin/factoryup completions $shell > factoryup.$shell
            done
            $out/bin/factoryup man --all man > /dev/null
            installShellCompletion --bash factoryup.bash --fish factoryup.fish --zsh factoryup.zsh
            installManPage man/*.1
          '';

          meta = meta lib // {
            platforms = lib.platforms.unix;
          };
        };

      meta = lib: {
        inherit (manifest) description;
        license = [
          lib.licenses.mit
          lib.licenses.asl20
        ];
        mainProgram = "factoryup";
      };

      # The program of the last release, which is not compiled here.
      released =
        {
          lib,
          stdenvNoCC,
          fetchurl,
          installShellFiles,
        }:
        stdenvNoCC.mkDerivation {
          pname = "factoryup-bin";
          inherit (release) version;
          src = fetchurl release.archives.${stdenvNoCC.hostPlatform.system};
          sourceRoot = ".";
          nativeBuildInputs = [ installShellFiles ];
          # A program for macOS is signed, and each of them is stripped.
          dontStrip = true;

          installPhase = ''
            install -D -m 755 factoryup $out/bin/factoryup
            installShellCompletion --bash completions/factoryup.bash --fish completions/factoryup.fish --zsh completions/_factoryup
            installManPage man/*.1
          '';

          meta = meta lib // {
            platforms = builtins.attrNames release.archives;
            sourceProvenance = [ lib.sourceTypes.binaryNativeCode ];
          };
        };
    in
    {
      overlays.default = final: _prev: { factoryup = final.callPackage package { }; };

      packages = forEachSystem (
        pkgs:
        {
          default = pkgs.callPackage package { };
        }
        // lib.optionalAttrs pkgs.stdenv.hostPlatform.isLinux {
          # One file without libraries, to copy to any Linux machine.
          static = pkgs.pkgsStatic.callPackage package { };
        }
        // lib.optionalAttrs (release.archives ? ${pkgs.stdenv.hostPlatform.system}) {
          bin = pkgs.callPackage released { };
        }
      );

      apps = forEachSystem (pkgs: {
        default = {
          type = "app";
          program = lib.getExe self.packages.${pkgs.stdenv.hostPlatform.system}.default;
          meta = { inherit (manifest) description; };
        };
      });

      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShell {
          inputsFrom = [ self.packages.${pkgs.stdenv.hostPlatform.system}.default ];
          env.OPENSSL_NO_VENDOR = "1";
          packages = [
            pkgs.age
            pkgs.cargo
            pkgs.clippy
            pkgs.git
            pkgs.openssh
            pkgs.rust-analyzer
            pkgs.rustc
            pkgs.rustfmt
            pkgs.shellcheck
            pkgs.yamllint
          ]
          # The disposable host of the rehearsal.
          ++ lib.optionals pkgs.stdenv.hostPlatform.isLinux [
            pkgs.iproute2
            pkgs.mmdebstrap
            pkgs.nftables
          ];
        };
      });

      checks = forEachSystem (
        pkgs:
        let
          factoryup = self.packages.${pkgs.stdenv.hostPlatform.system}.default;
        in
        {
          build = factoryup;

          # Without `-D warnings`: nixpkgs' Clippy moves, and a lint that is new in it is no reason to fail here.
          clippy = factoryup.overrideAttrs (old: {
            pname = "factoryup-clippy";
            nativeBuildInputs = old.nativeBuildInputs ++ [ pkgs.clippy ];
            buildPhase = "cargo clippy --workspace --all-targets --no-default-features --locked --offline";
            installPhase = "touch $out";
          });

          fmt =
            pkgs.runCommand "factoryup-fmt"
              {
                nativeBuildInputs = [
                  pkgs.cargo
                  pkgs.rustfmt
                ];
              }
              ''
                cd ${source}
                cargo fmt --check
                touch $out
              '';

          # What a new control repo holds passes the checks that it brings; CI of this project runs those of infra/ too.
          templates =
            pkgs.runCommand "factoryup-templates"
              {
                nativeBuildInputs = [
                  factoryup
                  pkgs.git
                  pkgs.jq
                  pkgs.shellcheck
                  pkgs.yamllint
                ];
              }
              ''
                export HOME=$PWD
                factoryup init control --defaults --yes --name acme --owner-name Ada --owner-email ada@example.org \
                  --host-kind local --gitlab-group acme
                cd control
                scripts/check shell docs runbooks skills formats secrets
                touch $out
              '';

          shellcheck =
            pkgs.runCommand "factoryup-shellcheck"
              {
                nativeBuildInputs = [ pkgs.shellcheck ];
              }
              ''
                shellcheck ${source}/install.sh
                touch $out
              '';
        }
      );

      formatter = forEachSystem (pkgs: pkgs.nixfmt-tree);
    };
}
